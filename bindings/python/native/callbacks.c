#include <time.h>

#include "support.h"

// An exception stays set in the thread's state; nvfp4py_raise finds it there when the library's call has returned.
static int32_t call_with_memory(void *user, const nvfp4cal_tensor *in, const nvfp4cal_tensor *out) {
  PyObject *input, *output, *result = NULL;
  if (!nvfp4py_enter_callback()) return 1;
  input = nvfp4py_memory(in, 1);
  output = input ? nvfp4py_memory(out, 0) : NULL;
  if (output) result = PyObject_CallFunctionObjArgs((PyObject *)user, input, output, NULL);
  Py_XDECREF(input);
  Py_XDECREF(output);
  Py_XDECREF(result);
  nvfp4py_leave_callback();
  return result ? 0 : 1;
}

// The caller of collect has x already; user(amax, out).
int32_t nvfp4py_quantize(void *user, const nvfp4cal_tensor *x, const nvfp4cal_tensor *amax, nvfp4cal_tensor *out) {
  (void)x;
  return call_with_memory(user, amax, out);
}

// user(xq, out)
int32_t nvfp4py_error(void *user, const nvfp4cal_tensor *x, const nvfp4cal_tensor *xq, nvfp4cal_tensor *out) {
  (void)x;
  return call_with_memory(user, xq, out);
}

// user(done, total, name), or None: signals alone, so that Ctrl-C stops a run.
int32_t nvfp4py_progress(void *user, int64_t done, int64_t total, const char *name) {
  int good;
  if (!nvfp4py_enter_callback()) return 1;
  good = PyErr_CheckSignals() == 0;
  if (good && user != (void *)Py_None) {
    PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
    PyObject *result = text ? PyObject_CallFunction((PyObject *)user, "LLN", (long long)done, (long long)total, text) : NULL;
    good = result != NULL;
    Py_XDECREF(result);
  }
  nvfp4py_leave_callback();
  return good ? 0 : 1;
}

// ---- runner: user(task, n) calls task(i) once for each i, on threads of its own ----

typedef struct {
  nvfp4cal_task task;  // NULL when the call is over
  void *job;
  int64_t n, begun, done;
  unsigned char *seen;
} work;

static void free_work(PyObject *capsule) {
  work *w = (work *)PyCapsule_GetPointer(capsule, "nvfp4cal.task");
  PyMem_Free(w->seen);
  PyMem_Free(w);
}

static PyObject *run_task(PyObject *self, PyObject *number) {
  work *w = (work *)PyCapsule_GetPointer(self, "nvfp4cal.task");
  const long long i = PyLong_AsLongLong(number);
  nvfp4cal_task task;
  void *job;
  if (!w || (i == -1 && PyErr_Occurred())) return NULL;
  if (!w->task) {
    PyErr_SetString(PyExc_RuntimeError, "the work is over: the runner returned before it called this task");
    return NULL;
  }
  if (i < 0 || i >= w->n || w->seen[i]) {
    PyErr_Format(PyExc_ValueError, "task %lld of %lld %s", i, (long long)w->n, i < 0 || i >= w->n ? "does not exist" : "was run before");
    return NULL;
  }
  w->seen[i] = 1;
  ++w->begun;
  // Without the lock another thread may end the work's life for tasks to come.
  task = w->task;
  job = w->job;
  Py_BEGIN_ALLOW_THREADS;
  task(job, i);
  Py_END_ALLOW_THREADS;
  ++w->done;
  Py_RETURN_NONE;
}

static PyMethodDef task_method = {"task", run_task, METH_O, "task(i): does part i of the work."};

static int32_t run_with(PyObject *user, work *w, PyObject *capsule) {
  const struct timespec pause = {0, 100000};
  PyObject *task = PyCFunction_New(&task_method, capsule), *result;
  int64_t begun;
  if (!task) return 1;
  result = PyObject_CallFunction(user, "OL", task, (long long)w->n);
  Py_DECREF(task);
  // Tasks that run still use the call's memory; those that have not begun find that it is over.
  w->task = NULL;
  begun = w->begun;
  while (w->done < begun) {
    Py_BEGIN_ALLOW_THREADS;
    nanosleep(&pause, NULL);
    Py_END_ALLOW_THREADS;
  }
  Py_XDECREF(result);
  if (result && w->done < w->n) {
    PyErr_Format(PyExc_RuntimeError, "the runner ran %lld of %lld tasks", (long long)w->done, (long long)w->n);
    return 1;
  }
  return result ? 0 : 1;
}

int32_t nvfp4py_run(void *user, void *job, nvfp4cal_task task, int64_t n) {
  PyObject *capsule = NULL;
  work *w = NULL;
  int32_t failed = 1;
  if (!nvfp4py_enter_callback()) return 1;
  w = (work *)PyMem_Calloc(1, sizeof *w);
  if (w) w->seen = (unsigned char *)PyMem_Calloc(1, (size_t)n + 1);
  if (w && w->seen) capsule = PyCapsule_New(w, "nvfp4cal.task", free_work);
  if (capsule) {
    w->task = task;
    w->job = job;
    w->n = n;
    failed = run_with((PyObject *)user, w, capsule);
    Py_DECREF(capsule);
  } else {
    if (w) PyMem_Free(w->seen);
    PyMem_Free(w);
    if (!PyErr_Occurred()) PyErr_NoMemory();
  }
  nvfp4py_leave_callback();
  return failed;
}

// ---- device allocator: user is (allocate, free). Questions for shapes are asked with the lock, and may free what they find done. ----

static int enter_device_call(int *held) {
  *held = PyGILState_Check();
  return *held || nvfp4py_enter_callback();
}

static void leave_device_call(int held) {
  if (!held) nvfp4py_leave_callback();
}

// allocate(bytes, device, stream): an address.
int32_t nvfp4py_device_allocate(void *user, int64_t bytes, int32_t device, nvfp4cal_stream stream, void **out) {
  PyObject *address;
  int held;
  if (!enter_device_call(&held)) return 1;
  address = PyObject_CallFunction(PyTuple_GET_ITEM((PyObject *)user, 0), "LiN", (long long)bytes, (int)device, PyLong_FromVoidPtr(stream));
  *out = address ? PyLong_AsVoidPtr(address) : NULL;
  Py_XDECREF(address);
  leave_device_call(held);
  return *out ? 0 : 1;
}

// free(address, bytes, device, stream). It cannot fail: an exception is written to stderr, and one that is on its way goes on.
void nvfp4py_device_free(void *user, void *memory, int64_t bytes, int32_t device, nvfp4cal_stream stream) {
  PyObject *type, *value, *trace, *result;
  int held;
  if (!enter_device_call(&held)) return;
  PyErr_Fetch(&type, &value, &trace);
  result = PyObject_CallFunction(PyTuple_GET_ITEM((PyObject *)user, 1), "NLiN", PyLong_FromVoidPtr(memory), (long long)bytes, (int)device,
                                 PyLong_FromVoidPtr(stream));
  if (!result) PyErr_WriteUnraisable((PyObject *)user);
  Py_XDECREF(result);
  PyErr_Restore(type, value, trace);
  leave_device_call(held);
}
