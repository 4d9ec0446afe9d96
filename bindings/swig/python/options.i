/* Options are tuples of the struct's fields, in the order of the struct; None: the defaults. Statistics are a dict. */
%ignore nvfp4cal_options;
%ignore nvfp4cal_block_options;
%ignore nvfp4cal_actmax_stats;
%ignore nvfp4cal_gptq_objectives;
%ignore nvfp4cal_tensor;

%typemap(in, noblock=1) const nvfp4cal_options * (nvfp4cal_options options, nvfp4py_tensor weighing) {
  PyObject *given;
  $1 = NULL;
  if ($input != Py_None) {
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    if (!PyArg_ParseTuple($input, "IiiiiiiO", &options.flags, &options.method, &options.block_size, &options.normalization,
                          &options.code_lo, &options.code_hi, &options.scale_layout, &given)) SWIG_fail;
    if (!nvfp4py_take(given, "weights", &weighing, &options.weights)) SWIG_fail;
    $1 = &options;
  }
}
%typemap(arginit, noblock=1) const nvfp4cal_options * "memset(&weighing$argnum, 0, sizeof weighing$argnum);"
%typemap(freearg, noblock=1) const nvfp4cal_options * "nvfp4py_drop(&weighing$argnum);"

%typemap(in, noblock=1) const nvfp4cal_block_options * (nvfp4cal_block_options options) {
  $1 = NULL;
  if ($input != Py_None) {
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    if (!PyArg_ParseTuple($input, "Iii", &options.flags, &options.n_outer, &options.n_inner)) SWIG_fail;
    $1 = &options;
  }
}

%typemap(in, numinputs=0, noblock=1) nvfp4cal_actmax_stats *out (nvfp4cal_actmax_stats stats) {
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  $1 = &stats;
}
%typemap(argout, noblock=1) nvfp4cal_actmax_stats *out {
  $result = nvfp4py_append($result, Py_BuildValue("{s:i,s:L,s:d,s:d,s:d,s:d,s:f,s:f}", "term", (int)$1->term, "blocks",
      (long long)$1->blocks, "p1", $1->p1, "p99_99", $1->p99_99, "b_min", $1->b_min, "b_max", $1->b_max, "literal_max",
      $1->literal_max, "result", $1->result));
}

%typemap(in, numinputs=0, noblock=1) nvfp4cal_gptq_objectives *out (nvfp4cal_gptq_objectives objectives) {
  memset(&objectives, 0, sizeof objectives);
  objectives.struct_size = sizeof objectives;
  $1 = &objectives;
}
%typemap(argout, noblock=1) nvfp4cal_gptq_objectives *out {
  $result = nvfp4py_append($result, Py_BuildValue("{s:d,s:d,s:d,s:d}", "nearest", $1->nearest, "rounding", $1->rounding, "descent",
      $1->descent, "neighbourhood", $1->neighbourhood));
}
