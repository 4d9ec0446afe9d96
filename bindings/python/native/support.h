// What the typemaps of bindings/swig/python call: statuses as exceptions, arrays as tensors, Python callables as callbacks.
// Everything is called with the interpreter's lock held, unless it says otherwise.
#ifndef NVFP4PY_SUPPORT_H
#define NVFP4PY_SUPPORT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "nvfp4cal.h"

// ---- status.c: the lock, statuses, hooks ----

// What Python code gives the module once: error(status, message) -> exception, and array(object) -> (array, dtype) for objects that
// neither the buffer protocol nor __dlpack__ can hand over as they are.
PyObject *nvfp4py_set_hooks(PyObject *error, PyObject *array);
extern PyObject *nvfp4py_array_hook;

// Raises what belongs to the status. An exception that a callback left stays.
void nvfp4py_raise(nvfp4cal_status status);

// Releases the interpreter's lock for a call into the library; callbacks take it again on the same thread. Returns 0, with SystemExit, on
// other threads than the one that ended the interpreter: such a thread ends, too, and is not in the library when its memory goes.
typedef struct {
  PyThreadState *state, *outer;
} nvfp4py_unlocked;
int nvfp4py_unlock(nvfp4py_unlocked *call);
void nvfp4py_lock(nvfp4py_unlocked *call);
// Without the lock. Returns 0 where Python code cannot run any more; otherwise leave() is due.
int nvfp4py_enter_callback(void);
void nvfp4py_leave_callback(void);

// At interpreter exit: callbacks are refused from now on; waits until no thread is inside the library, `seconds` at most.
PyObject *nvfp4py_close(double seconds);
// In the child after fork: only the calling thread is left.
PyObject *nvfp4py_after_fork(void);

// ---- tensors.c ----

typedef struct {
  nvfp4cal_tensor view;
  Py_buffer buffer;
  int has_buffer, readonly;
  PyObject *capsule;  // DLPack
} nvfp4py_tensor;

// None becomes *out = NULL. (array, dtype) reads the array's bytes as that dtype. False with an exception.
int nvfp4py_take(PyObject *object, const char *name, nvfp4py_tensor *tensor, const nvfp4cal_tensor **out);
void nvfp4py_drop(nvfp4py_tensor *tensor);

// An output: None (not wanted), an array to write to, or what makes one: empty(shape, dtype) -> array or (array, result), as itself or in a
// pair with the wanted dtype. Outputs of one call are a list that belongs to the thread until the call begins.
typedef struct nvfp4py_output {
  nvfp4py_tensor array;
  nvfp4cal_tensor view;
  PyObject *empty, *result;
  struct nvfp4py_output *next;
} nvfp4py_output;

int nvfp4py_take_output(PyObject *object, const char *name, nvfp4py_output *output, nvfp4cal_tensor **out);
void nvfp4py_drop_output(nvfp4py_output *output);
// The list of the call that begins, last argument first.
nvfp4py_output *nvfp4py_outputs(void);
int nvfp4py_wants_memory(const nvfp4py_output *outputs);
// Makes the arrays whose shapes the first call told.
int nvfp4py_allocate(nvfp4py_output *outputs);
// result, or result and the output's array as a tuple. Steals result.
PyObject *nvfp4py_append(PyObject *result, PyObject *value);

// A memoryview of the tensor's host memory. It owns nothing.
PyObject *nvfp4py_memory(const nvfp4cal_tensor *tensor, int readonly);

// Any object with __index__. False with an exception.
int nvfp4py_int32(PyObject *object, const char *name, int32_t *out);
// The elements of a fast sequence. *out is freed by PyMem_Free, also after a failure.
int nvfp4py_integers(PyObject *items, int32_t **out, int64_t *count);

// ---- callbacks.c: user is the callable, which the caller keeps alive ----

int32_t nvfp4py_quantize(void *user, const nvfp4cal_tensor *x, const nvfp4cal_tensor *amax, nvfp4cal_tensor *out);
int32_t nvfp4py_error(void *user, const nvfp4cal_tensor *x, const nvfp4cal_tensor *xq, nvfp4cal_tensor *out);
int32_t nvfp4py_progress(void *user, int64_t done, int64_t total, const char *name);
int32_t nvfp4py_run(void *user, void *job, nvfp4cal_task task, int64_t n);
// user: a tuple of two callables.
int32_t nvfp4py_device_allocate(void *user, int64_t bytes, int32_t device, nvfp4cal_stream stream, void **out);
void nvfp4py_device_free(void *user, void *memory, int64_t bytes, int32_t device, nvfp4cal_stream stream);

#endif
