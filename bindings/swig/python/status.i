/* Statuses, constructors, the interpreter's lock. */
%{
#include "support.h"
%}

/* Own functions of the native module. */
%typemap(out) PyObject * "$result = $1;"
%typemap(in) PyObject * "$1 = $input;"
%rename(set_hooks) nvfp4py_set_hooks;
%rename(close) nvfp4py_close;
%rename(after_fork) nvfp4py_after_fork;
PyObject *nvfp4py_set_hooks(PyObject *error, PyObject *array);
PyObject *nvfp4py_close(double seconds);
PyObject *nvfp4py_after_fork(void);

/*
 * Every call into the library: outputs without memory are asked for first, with the lock (nothing is computed then), then the lock is
 * released.
 */
%exception {
  nvfp4py_output *outputs = nvfp4py_outputs();
  nvfp4py_unlocked call;
  int computed = 0;
  if (nvfp4py_wants_memory(outputs)) {
    $action
    computed = result != 0;
    if (!computed && !nvfp4py_allocate(outputs)) SWIG_fail;
  }
  if (!computed) {
    if (!nvfp4py_unlock(&call)) SWIG_fail;
    $action
    nvfp4py_lock(&call);
  }
}

%typemap(out, noblock=1) nvfp4cal_status {
  if ($1 != NVFP4CAL_OK) {
    nvfp4py_raise($1);
    SWIG_fail;
  }
  $result = SWIG_Py_Void();
}

%typemap(in, numinputs=0, noblock=1) nvfp4cal_status *status (nvfp4cal_status made = NVFP4CAL_OK) "$1 = &made;"
%typemap(argout, noblock=1) nvfp4cal_status *status {
  if (*$1 != NVFP4CAL_OK) {
    nvfp4py_raise(*$1);
    SWIG_fail;
  }
}
