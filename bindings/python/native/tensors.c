#include "nvfp4cal_dlpack.h"
#include "support.h"

// ---- the buffer protocol ----

// DLPack's code and bits of a struct format character; 0 for others.
static int32_t dtype_of_format(const char *format, Py_ssize_t itemsize) {
  const uint16_t one = 1;
  const int little = *(const unsigned char *)&one;
  int32_t code;
  if (!format) format = "B";
  if (*format == '@' || *format == '=' || *format == (little ? '<' : '>')) ++format;
  if (format[0] == '\0' || format[1] != '\0') return 0;
  switch (format[0]) {
    case 'e':
    case 'f':
    case 'd':
    case 'g': code = 2; break;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
    case 'n': code = 0; break;
    case 'B':
    case 'H':
    case 'I':
    case 'L':
    case 'Q':
    case 'N':
    case 'c': code = 1; break;
    case '?': code = 6; break;
    default: return 0;
  }
  return code | (int32_t)(itemsize * 8) << 8 | 1 << 16;
}

static int from_buffer(const Py_buffer *buffer, const char *name, nvfp4cal_tensor *view) {
  int d;
  memset(view, 0, sizeof *view);
  view->struct_size = sizeof *view;
  view->data = buffer->buf;
  view->dtype = dtype_of_format(buffer->format, buffer->itemsize);
  view->ndim = buffer->ndim;
  if (view->dtype == 0) {
    PyErr_Format(PyExc_TypeError, "%s has elements of format \"%s\", which is no number of this machine's byte order", name,
                 buffer->format);
    return 0;
  }
  if (buffer->ndim > NVFP4CAL_MAX_NDIM) {
    PyErr_Format(PyExc_TypeError, "%s has %d dimensions, more than %d", name, buffer->ndim, NVFP4CAL_MAX_NDIM);
    return 0;
  }
  // Some exporters of contiguous memory (ctypes) leave the strides out, whatever was asked for.
  view->flags = buffer->strides ? NVFP4CAL_TENSOR_HAS_STRIDES : 0;
  for (d = 0; d < buffer->ndim; ++d) {
    view->shape[d] = buffer->shape[d];
    if (!buffer->strides) continue;
    if (buffer->strides[d] % buffer->itemsize != 0) {
      PyErr_Format(PyExc_TypeError, "%s has a stride of %zd bytes, no multiple of its elements' size %zd", name, buffer->strides[d],
                   buffer->itemsize);
      return 0;
    }
    view->strides[d] = buffer->strides[d] / buffer->itemsize;
  }
  return 1;
}

// ---- DLPack ----

// The beginning of DLManagedTensorVersioned: its tensor lies behind.
typedef struct {
  uint32_t major, minor;
  void *manager_context;
  void (*deleter)(void *);
  uint64_t flags;
  nvfp4cal_dltensor tensor;
} versioned_tensor;

// DLPACK_FLAG_BITMASK_READ_ONLY
enum { read_only = 1 };

// torch's tensors with the negative bit export memory whose values have the other sign. 1, 0, or -1 with an exception.
static int is_negated(PyObject *object) {
  PyObject *method, *answer;
  int negated;
  if (PyObject_CheckBuffer(object)) return 0;
  method = PyObject_GetAttrString(object, "is_neg");
  if (!method) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return -1;
    PyErr_Clear();
    return 0;
  }
  answer = PyObject_CallNoArgs(method);
  Py_DECREF(method);
  if (!answer) return -1;
  negated = answer == Py_True;
  Py_DECREF(answer);
  return negated;
}

static PyObject *export_dlpack(PyObject *object) {
  PyObject *method = PyObject_GetAttrString(object, "__dlpack__"), *capsule, *arguments, *keywords;
  int negated;
  if (!method) return NULL;
  negated = is_negated(object);
  if (negated != 0) {
    Py_DECREF(method);
    if (negated > 0) PyErr_SetString(PyExc_BufferError, "the tensor has the negative bit");
    return NULL;
  }
  capsule = PyObject_CallNoArgs(method);
  // Read-only memory is told by versioned tensors alone.
  if (!capsule && PyErr_ExceptionMatches(PyExc_BufferError)) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    arguments = PyTuple_New(0);
    keywords = Py_BuildValue("{s(ii)}", "max_version", 1, 0);
    if (arguments && keywords) capsule = PyObject_Call(method, arguments, keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    if (capsule || !(PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_BufferError))) {
      Py_XDECREF(type);
      Py_XDECREF(value);
      Py_XDECREF(traceback);
    } else {
      PyErr_Restore(type, value, traceback);
    }
  }
  Py_DECREF(method);
  return capsule;
}

static int from_dlpack(PyObject *capsule, const char *name, nvfp4py_tensor *taken) {
  const void *tensor = NULL;
  nvfp4cal_status status;
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    tensor = PyCapsule_GetPointer(capsule, "dltensor");
  } else if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    const versioned_tensor *versioned = (const versioned_tensor *)PyCapsule_GetPointer(capsule, "dltensor_versioned");
    if (versioned->major == 1) {
      tensor = &versioned->tensor;
      taken->readonly = (versioned->flags & read_only) != 0;
    }
  }
  if (!tensor) {
    PyErr_Format(PyExc_TypeError, "%s.__dlpack__() gave no DLPack tensor of version 0 or 1", name);
    return 0;
  }
  status = nvfp4cal_tensor_from_dlpack(tensor, &taken->view);
  if (status != NVFP4CAL_OK) PyErr_Format(PyExc_TypeError, "%s has more than %d dimensions", name, NVFP4CAL_MAX_NDIM);
  return status == NVFP4CAL_OK;
}

// ---- inputs ----

static int take_plain(PyObject *object, const char *name, nvfp4py_tensor *tensor) {
  if (PyObject_CheckBuffer(object)) {
    if (PyObject_GetBuffer(object, &tensor->buffer, PyBUF_RECORDS_RO) == 0) {
      tensor->has_buffer = 1;
      tensor->readonly = tensor->buffer.readonly;
      return from_buffer(&tensor->buffer, name, &tensor->view);
    }
    return 0;
  }
  tensor->capsule = export_dlpack(object);
  return tensor->capsule && from_dlpack(tensor->capsule, name, tensor);
}

static int take_as(PyObject *pair, const char *name, nvfp4py_tensor *tensor) {
  int32_t dtype;
  if (!take_plain(PyTuple_GET_ITEM(pair, 0), name, tensor)) return 0;
  dtype = (int32_t)PyLong_AsLong(PyTuple_GET_ITEM(pair, 1));
  if (dtype == -1 && PyErr_Occurred()) return 0;
  if (((dtype ^ tensor->view.dtype) & 0xFF00) != 0) {
    PyErr_Format(PyExc_TypeError, "%s: elements of %d bits cannot be read as %d bits", name, tensor->view.dtype >> 8 & 0xFF,
                 dtype >> 8 & 0xFF);
    return 0;
  }
  tensor->view.dtype = dtype;
  return 1;
}

// Whether the current exception may mean that the object is to be read in another way. All others (interrupts, no memory) go to the caller.
static int says_no_array(void) {
  return PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_BufferError) ||
         PyErr_ExceptionMatches(PyExc_AttributeError) || PyErr_ExceptionMatches(PyExc_RuntimeError);
}

int nvfp4py_take(PyObject *object, const char *name, nvfp4py_tensor *tensor, const nvfp4cal_tensor **out) {
  PyObject *type, *value, *traceback, *pair;
  int taken;
  memset(tensor, 0, sizeof *tensor);
  *out = object == Py_None ? NULL : &tensor->view;
  if (object == Py_None) return 1;
  if (PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == 2) return take_as(object, name, tensor);
  if (take_plain(object, name, tensor)) return 1;
  if (!nvfp4py_array_hook || !says_no_array()) return 0;
  // A dtype that the protocol cannot say, a tensor that records gradients, a number: the hook knows, or raises with this as the cause.
  nvfp4py_drop(tensor);
  memset(tensor, 0, sizeof *tensor);
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value && traceback) PyException_SetTraceback(value, traceback);
  pair = PyObject_CallFunction(nvfp4py_array_hook, "sOO", name, object, value ? value : Py_None);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(traceback);
  if (!pair) return 0;
  taken = PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2 ? take_as(pair, name, tensor) : take_plain(pair, name, tensor);
  // The tensor's buffer or capsule holds what the pair held.
  Py_DECREF(pair);
  return taken;
}

void nvfp4py_drop(nvfp4py_tensor *tensor) {
  if (tensor->has_buffer) PyBuffer_Release(&tensor->buffer);
  tensor->has_buffer = 0;
  // Never consumed: the capsule's destructor frees the tensor.
  Py_CLEAR(tensor->capsule);
}

// ---- outputs ----

static __thread nvfp4py_output *outputs_of_call = NULL;

static int take_memory(PyObject *array, const char *name, nvfp4py_output *output) {
  const nvfp4cal_tensor *view;
  const int negated = is_negated(array);
  if (negated != 0) {
    // What inputs are read from is a copy.
    if (negated > 0) PyErr_Format(PyExc_ValueError, "%s has the negative bit: its values are not its memory's", name);
    return 0;
  }
  if (!nvfp4py_take(array, name, &output->array, &view)) return 0;
  if (output->array.readonly) {
    PyErr_Format(PyExc_ValueError, "%s is read-only", name);
    return 0;
  }
  return 1;
}

int nvfp4py_take_output(PyObject *object, const char *name, nvfp4py_output *output, nvfp4cal_tensor **out) {
  memset(output, 0, sizeof *output);
  *out = NULL;
  if (object == Py_None) return 1;
  *out = &output->view;
  output->view.struct_size = sizeof output->view;
  if (PyCallable_Check(object)) {
    output->empty = object;
  } else if (PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == 2 && PyCallable_Check(PyTuple_GET_ITEM(object, 0))) {
    output->empty = PyTuple_GET_ITEM(object, 0);
    output->view.dtype = (int32_t)PyLong_AsLong(PyTuple_GET_ITEM(object, 1));
    if (PyErr_Occurred()) return 0;
  } else {
    if (!take_memory(object, name, output)) return 0;
    output->view = output->array.view;
    output->result = object;
    Py_INCREF(object);
  }
  output->next = outputs_of_call;
  outputs_of_call = output;
  return 1;
}

void nvfp4py_drop_output(nvfp4py_output *output) {
  nvfp4py_drop(&output->array);
  Py_CLEAR(output->result);
  // Of a call that never began, if there is one: those that began took the list.
  outputs_of_call = NULL;
}

nvfp4py_output *nvfp4py_outputs(void) {
  nvfp4py_output *list = outputs_of_call;
  outputs_of_call = NULL;
  return list;
}

int nvfp4py_wants_memory(const nvfp4py_output *outputs) {
  for (; outputs; outputs = outputs->next) {
    if (!outputs->result) return 1;
  }
  return 0;
}

static int allocate_one(nvfp4py_output *output) {
  PyObject *shape = PyTuple_New(output->view.ndim), *made, *memory;
  int64_t bytes = output->view.dtype >> 8 & 0xFF, held;
  int d;
  if (!shape) return 0;
  bytes /= 8;
  for (d = 0; d < output->view.ndim; ++d) {
    PyTuple_SET_ITEM(shape, d, PyLong_FromLongLong(output->view.shape[d]));
    bytes *= output->view.shape[d];
  }
  made = PyObject_CallFunction(output->empty, "Ni", shape, (int)output->view.dtype);
  if (!made) return 0;
  if (PyTuple_CheckExact(made) && PyTuple_GET_SIZE(made) != 2) {
    PyErr_Format(PyExc_TypeError, "out was made as a tuple of %zd, not as an array or (array, result)", PyTuple_GET_SIZE(made));
    Py_DECREF(made);
    return 0;
  }
  memory = PyTuple_CheckExact(made) ? PyTuple_GET_ITEM(made, 0) : made;
  output->result = PyTuple_CheckExact(made) ? PyTuple_GET_ITEM(made, 1) : made;
  Py_INCREF(output->result);
  if (!take_memory(memory, "out", output)) {
    Py_DECREF(made);
    return 0;
  }
  Py_DECREF(made);
  held = output->array.view.dtype >> 8 & 0xFF;
  held /= 8;
  for (d = 0; d < output->array.view.ndim; ++d) held *= output->array.view.shape[d];
  if (held != bytes) {
    PyErr_Format(PyExc_ValueError, "out has %lld bytes, not %lld", (long long)held, (long long)bytes);
    return 0;
  }
  output->view.data = output->array.view.data;
  output->view.device_type = output->array.view.device_type;
  output->view.device_id = output->array.view.device_id;
  return 1;
}

int nvfp4py_allocate(nvfp4py_output *outputs) {
  for (; outputs; outputs = outputs->next) {
    if (!outputs->result && !allocate_one(outputs)) return 0;
  }
  return 1;
}

PyObject *nvfp4py_append(PyObject *result, PyObject *value) {
  PyObject *pair, *one;
  if (!result || !value) {
    // One of the outputs before, or this one, could not be handed back.
    Py_XDECREF(result);
    Py_XDECREF(value);
    return NULL;
  }
  if (result == Py_None) {
    Py_DECREF(result);
    return value;
  }
  if (!PyTuple_CheckExact(result)) return Py_BuildValue("(NN)", result, value);
  one = Py_BuildValue("(N)", value);
  pair = one ? PySequence_Concat(result, one) : NULL;
  Py_XDECREF(one);
  Py_DECREF(result);
  return pair;
}

PyObject *nvfp4py_memory(const nvfp4cal_tensor *tensor, int readonly) {
  Py_ssize_t shape[NVFP4CAL_MAX_NDIM], strides[NVFP4CAL_MAX_NDIM], size = (tensor->dtype >> 8 & 0xFF) / 8, count = size;
  Py_buffer buffer;
  int d;
  if (tensor->device_type > 1) {
    PyErr_Format(PyExc_NotImplementedError, "memory on device type %d cannot be read here", (int)tensor->device_type);
    return NULL;
  }
  memset(&buffer, 0, sizeof buffer);
  for (d = tensor->ndim - 1; d >= 0; --d) {
    shape[d] = (Py_ssize_t)tensor->shape[d];
    strides[d] = count;
    count *= shape[d];
  }
  // A null pointer stands for an empty one.
  buffer.buf = tensor->data ? tensor->data : (void *)&nvfp4py_array_hook;
  buffer.len = count;
  buffer.itemsize = size;
  buffer.readonly = readonly;
  buffer.ndim = tensor->ndim;
  buffer.shape = shape;
  buffer.strides = strides;
  switch (tensor->dtype) {
    case NVFP4CAL_DTYPE_F32: buffer.format = "f"; break;
    case NVFP4CAL_DTYPE_F64: buffer.format = "d"; break;
    case NVFP4CAL_DTYPE_I64: buffer.format = "q"; break;
    default: buffer.format = "B"; break;
  }
  return PyMemoryView_FromBuffer(&buffer);
}

// ---- integers ----

int nvfp4py_int32(PyObject *object, const char *name, int32_t *out) {
  PyObject *number = PyNumber_Index(object);
  int overflow;
  long long value;
  if (!number) return 0;
  value = PyLong_AsLongLongAndOverflow(number, &overflow);
  if (overflow || value < INT32_MIN || value > INT32_MAX) PyErr_Format(PyExc_OverflowError, "%s %S is beyond 32 bits", name, number);
  Py_DECREF(number);
  *out = (int32_t)value;
  return !PyErr_Occurred();
}

int nvfp4py_integers(PyObject *items, int32_t **out, int64_t *count) {
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(items);
  Py_ssize_t i;
  *count = n;
  *out = (int32_t *)PyMem_Malloc(((size_t)n + 1) * sizeof(int32_t));
  if (!*out) {
    PyErr_NoMemory();
    return 0;
  }
  for (i = 0; i < n; ++i) {
    if (!nvfp4py_int32(PySequence_Fast_GET_ITEM(items, i), "item", *out + i)) return 0;
  }
  return 1;
}
