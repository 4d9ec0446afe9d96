/* Arrays, streams. */

%typemap(in, noblock=1) const nvfp4cal_tensor * (nvfp4py_tensor taken) {
  if (!nvfp4py_take($input, "$1_name", &taken, (const nvfp4cal_tensor **)&$1)) SWIG_fail;
}
%typemap(arginit, noblock=1) const nvfp4cal_tensor * "memset(&taken$argnum, 0, sizeof taken$argnum);"
%typemap(freearg, noblock=1) const nvfp4cal_tensor * "nvfp4py_drop(&taken$argnum);"
%typemap(argout, noblock=1) const nvfp4cal_tensor * ""
%typemap(typecheck, precedence=0) const nvfp4cal_tensor * "$1 = 1;"

%typemap(in, noblock=1) nvfp4cal_tensor * (nvfp4py_output output) {
  if (!nvfp4py_take_output($input, "$1_name", &output, &$1)) SWIG_fail;
}
%typemap(arginit, noblock=1) nvfp4cal_tensor * "memset(&output$argnum, 0, sizeof output$argnum);"
%typemap(argout, noblock=1) nvfp4cal_tensor * {
  if (output$argnum.result) {
    Py_INCREF(output$argnum.result);
    $result = nvfp4py_append($result, output$argnum.result);
  }
}
%typemap(freearg, noblock=1) nvfp4cal_tensor * "nvfp4py_drop_output(&output$argnum);"

/* state_tensor gives the handle's memory and how it is reduced. */
%typemap(in, numinputs=0, noblock=1) nvfp4cal_tensor *view (nvfp4cal_tensor state) {
  memset(&state, 0, sizeof state);
  state.struct_size = sizeof state;
  $1 = &state;
}
%typemap(arginit, noblock=1) nvfp4cal_tensor *view ""
%typemap(freearg, noblock=1) nvfp4cal_tensor *view ""
%typemap(argout, noblock=1) nvfp4cal_tensor *view "$result = nvfp4py_append($result, nvfp4py_memory($1, 0));"
%typemap(in, numinputs=0, noblock=1) int32_t *reduce (int32_t operation = 0) "$1 = &operation;"
%typemap(argout, noblock=1) int32_t *reduce "$result = nvfp4py_append($result, PyLong_FromLong(*$1));"

%typemap(in, noblock=1) nvfp4cal_stream {
  $1 = $input == Py_None ? NULL : (nvfp4cal_stream)PyLong_AsVoidPtr($input);
  if (PyErr_Occurred()) SWIG_fail;
}
