/* A callable each. It is not kept: the object that owns the handle holds it. None takes it off. */

%typemap(in, noblock=1) (nvfp4cal_quantize_callback callback, void *user) {
  $1 = $input == Py_None ? NULL : nvfp4py_quantize;
  $2 = $input;
}

/* A pair: the callable, and what it fills in. */
%typemap(in, noblock=1) (nvfp4cal_error_callback callback, int32_t values, void *user) {
  PyObject *callable;
  if (!PyArg_ParseTuple($input, "Oi", &callable, &$2)) SWIG_fail;
  $1 = callable == Py_None ? NULL : nvfp4py_error;
  $3 = callable;
}

/* None asks for signals alone. */
%typemap(in, noblock=1) (nvfp4cal_progress callback, void *user) {
  $1 = nvfp4py_progress;
  $2 = $input;
}

%typemap(in, noblock=1) (nvfp4cal_runner runner, void *user) {
  $1 = $input == Py_None ? NULL : nvfp4py_run;
  $2 = $input;
}

/* A tuple of two callables. It is kept for good: a calibrator may free memory long after its context is gone. */
%typemap(in, noblock=1) (nvfp4cal_device_allocate allocate, nvfp4cal_device_free release, void *user) {
  if ($input != Py_None && (!PyTuple_Check($input) || PyTuple_GET_SIZE($input) != 2)) {
    PyErr_SetString(PyExc_TypeError, "a device allocator is a tuple of two functions");
    SWIG_fail;
  }
  $1 = $input == Py_None ? NULL : nvfp4py_device_allocate;
  $2 = $input == Py_None ? NULL : nvfp4py_device_free;
  $3 = $input;
  Py_INCREF($input);
}
