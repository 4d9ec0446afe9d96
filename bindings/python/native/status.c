#include <time.h>

#include "support.h"

PyObject *nvfp4py_array_hook = NULL;
static PyObject *error_hook = NULL;

// Calls into the library that have not returned, and whether the interpreter is about to end. Both under the interpreter's lock, but that
// a callback reads `closing` without it.
static int running = 0;
static volatile int closing = 0;
static unsigned long closer = 0;

// Of the innermost call of this thread that has released the lock; the depth of such calls.
static __thread PyThreadState *released = NULL;
static __thread int depth = 0;

PyObject *nvfp4py_set_hooks(PyObject *error, PyObject *array) {
  Py_INCREF(error);
  Py_INCREF(array);
  Py_XDECREF(error_hook);
  Py_XDECREF(nvfp4py_array_hook);
  error_hook = error;
  nvfp4py_array_hook = array;
  Py_RETURN_NONE;
}

// True with SystemExit for threads that are to end now.
static int ends_with_interpreter(void) {
  if (!closing || PyThread_get_thread_ident() == closer) return 0;
  PyErr_SetNone(PyExc_SystemExit);
  return 1;
}

void nvfp4py_raise(nvfp4cal_status status) {
  // Valid until this thread's next call into the library: copied before any Python code runs.
  const char *text = nvfp4cal_last_error();
  PyObject *message, *exception;
  // Refused callbacks and cancelled runs end a thread at interpreter exit.
  if (PyErr_Occurred() || ends_with_interpreter()) return;
  message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
  if (!message) return;
  if (!error_hook) {
    PyErr_SetObject(PyExc_RuntimeError, message);
    Py_DECREF(message);
    return;
  }
  exception = PyObject_CallFunction(error_hook, "iN", (int)status, message);
  if (!exception) return;
  PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
  Py_DECREF(exception);
}

int nvfp4py_unlock(nvfp4py_unlocked *call) {
  if (ends_with_interpreter()) return 0;
  ++running;
  ++depth;
  call->outer = released;
  call->state = released = PyEval_SaveThread();
  return 1;
}

void nvfp4py_lock(nvfp4py_unlocked *call) {
  PyEval_RestoreThread(call->state);
  released = call->outer;
  --depth;
  --running;
}

int nvfp4py_enter_callback(void) {
  if (closing || !released) return 0;
  PyEval_RestoreThread(released);
  return 1;
}

void nvfp4py_leave_callback(void) { PyEval_SaveThread(); }

PyObject *nvfp4py_close(double seconds) {
  const struct timespec pause = {0, 1000000};
  struct timespec begin, now;
  closer = PyThread_get_thread_ident();
  closing = 1;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  while (running > depth) {
    Py_BEGIN_ALLOW_THREADS;
    nanosleep(&pause, NULL);
    Py_END_ALLOW_THREADS;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if ((double)(now.tv_sec - begin.tv_sec) + 1e-9 * (double)(now.tv_nsec - begin.tv_nsec) > seconds) break;
  }
  Py_RETURN_NONE;
}

PyObject *nvfp4py_after_fork(void) {
  running = depth;
  Py_RETURN_NONE;
}
