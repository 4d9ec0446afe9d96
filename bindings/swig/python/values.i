/* Numbers, texts and lists. */

/* Whatever has __index__ or __float__: numpy's numbers too. */
%typemap(in, noblock=1) int32_t {
  if (!nvfp4py_int32($input, "$1_name", &$1)) SWIG_fail;
}
%typemap(in, noblock=1) double, float {
  $1 = ($1_ltype)PyFloat_AsDouble($input);
  if (PyErr_Occurred()) SWIG_fail;
}

%typemap(in, numinputs=0, noblock=1) int32_t *out (int32_t number = 0) "$1 = &number;"
%typemap(argout, noblock=1) int32_t *out "$result = nvfp4py_append($result, PyLong_FromLong(*$1));"
%typemap(in, numinputs=0, noblock=1) int64_t *out (int64_t number = 0) "$1 = &number;"
%typemap(argout, noblock=1) int64_t *out "$result = nvfp4py_append($result, PyLong_FromLongLong(*$1));"

/* The library's texts are valid until its next call: copied here, in the same native call. */
%typemap(in, numinputs=0, noblock=1) const char **out_json (const char *text = NULL) "$1 = ($1_ltype)&text;"
%typemap(argout, noblock=1) const char **out_json {
  $result = nvfp4py_append($result, PyUnicode_DecodeUTF8(*$1, (Py_ssize_t)strlen(*$1), "replace"));
}
%typemap(out, noblock=1) const char * {
  $result = PyUnicode_DecodeUTF8($1, (Py_ssize_t)strlen($1), "replace");
}

/* File names keep their bytes (surrogateescape); a NUL inside is an error. */
%typemap(in, noblock=1) const char * (PyObject *bytes) {
  $1 = NULL;
  if ($input != Py_None) {
    if (!PyUnicode_FSConverter($input, &bytes)) SWIG_fail;
    $1 = PyBytes_AS_STRING(bytes);
  }
}
%typemap(arginit, noblock=1) const char * "bytes$argnum = NULL;"
%typemap(freearg, noblock=1) const char * "Py_XDECREF(bytes$argnum);"

%typemap(in, noblock=1) (const int32_t *axes, int32_t n) (PyObject *items) {
  int64_t count;
  items = PySequence_Fast($input, "not a sequence of integers");
  if (!items || !nvfp4py_integers(items, &$1, &count)) SWIG_fail;
  $2 = (int32_t)count;
}
%typemap(arginit, noblock=1) (const int32_t *axes, int32_t n) "items$argnum = NULL;"
%typemap(freearg, noblock=1) (const int32_t *axes, int32_t n) {
  Py_XDECREF(items$argnum);
  PyMem_Free($1);
}

%typemap(in, noblock=1) (const int32_t *g_idx, int64_t n) (PyObject *items) {
  int64_t count;
  items = PySequence_Fast($input, "not a sequence of integers");
  if (!items || !nvfp4py_integers(items, &$1, &count)) SWIG_fail;
  $2 = (int64_t)count;
}
%typemap(arginit, noblock=1) (const int32_t *g_idx, int64_t n) "items$argnum = NULL;"
%typemap(freearg, noblock=1) (const int32_t *g_idx, int64_t n) {
  Py_XDECREF(items$argnum);
  PyMem_Free($1);
}

%typemap(in, noblock=1) (nvfp4cal_observer *const *handles, int32_t n) (PyObject *items, nvfp4cal_observer **list) {
  Py_ssize_t i;
  items = PySequence_Fast($input, "not a sequence of observers");
  if (!items) SWIG_fail;
  $2 = (int32_t)PySequence_Fast_GET_SIZE(items);
  list = (nvfp4cal_observer **)PyMem_Calloc((size_t)$2 + 1, sizeof *list);
  if (!list) {
    PyErr_NoMemory();
    SWIG_fail;
  }
  for (i = 0; i < (Py_ssize_t)$2; ++i) {
    void *handle = NULL;
    if (!SWIG_IsOK(SWIG_ConvertPtr(PySequence_Fast_GET_ITEM(items, i), &handle, $descriptor(nvfp4cal_observer *), 0))) {
      PyErr_SetString(PyExc_TypeError, "not a sequence of observers");
      SWIG_fail;
    }
    list[i] = (nvfp4cal_observer *)handle;
  }
  $1 = list;
}
%typemap(arginit, noblock=1) (nvfp4cal_observer *const *handles, int32_t n) "items$argnum = NULL; list$argnum = NULL;"
%typemap(freearg, noblock=1) (nvfp4cal_observer *const *handles, int32_t n) {
  Py_XDECREF(items$argnum);
  PyMem_Free(list$argnum);
}
