/*
 * The interface of nvfp4cal.h that SWIG turns into the native module of a language (Python, Java).
 *
 *   swig -python -builtin -module native -interface _native -Iinclude -Ibindings/swig -Ibindings/swig/python -o wrap.c bindings/swig/nvfp4cal.i
 *   swig -java -package ... -Iinclude -Ibindings/swig -Ibindings/swig/java -o wrap.c bindings/swig/nvfp4cal.i
 *
 * What is common is here: the names (names.i) and the methods of the handles (handles.i). How values cross the border is a language's own:
 * bindings/swig/<language>/ has one file a concern, each with the typemaps listed below and the C code they need. A type pattern without a
 * typemap would show as a class SWIGTYPE_p_...: a test finds those. A typemap of T * is also used for const T * where that has none of the same
 * method: one of a single kind of pointer needs an empty counterpart.
 *
 *   status.i     nvfp4cal_status                                       result: nothing, or an exception with status and nvfp4cal_last_error(),
 *                                                                      read in the same native call, before anything else runs on the thread
 *                nvfp4cal_status *status                               constructors: an output that becomes the same exception
 *   tensors.i    const nvfp4cal_tensor *                               tensor in; the language's null: NULL
 *                nvfp4cal_tensor *                                     tensor out; the language's null: NULL (not wanted)
 *                nvfp4cal_tensor *view, int32_t *reduce                state_tensor's outputs: the handle's memory, valid until its next call
 *                nvfp4cal_stream                                       a CUDA stream as an integer, null or 0: the default
 *   callbacks.i  (nvfp4cal_quantize_callback callback, void *user)     each is one callable of the language; its exception is kept and thrown
 *                (nvfp4cal_error_callback callback, int32_t values, void *user)                        when the call returns
 *                (nvfp4cal_progress callback, void *user)
 *                (nvfp4cal_runner runner, void *user)
 *                (nvfp4cal_device_allocate allocate, nvfp4cal_device_free release, void *user)       two callables, or addresses of C functions
 *   options.i    const nvfp4cal_options *, const nvfp4cal_block_options *       null: the defaults; the struct's size is set here
 *                nvfp4cal_actmax_stats *out, nvfp4cal_gptq_objectives *out                    filled, handed back as a value
 *   values.i     int32_t *out, int64_t *out                            an integer handed back
 *                const char **out_json                                 UTF-8 text handed back as a string
 *                (const int32_t *axes, int32_t n), (const int32_t *g_idx, int64_t n)                   lists of integers
 *                (nvfp4cal_observer *const *handles, int32_t n)        a list of observers
 */
%module nvfp4cal

%{
#include "nvfp4cal.h"
%}

%include <stdint.i>

%include "names.i"

%include "status.i"
%include "tensors.i"
%include "callbacks.i"
%include "options.i"
%include "values.i"

%include "handles.i"
%include "nvfp4cal.h"
