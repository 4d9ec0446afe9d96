// The Java class Tensor as an nvfp4cal_tensor: heap arrays by a copy in native memory, direct buffers and addresses as they are.
#pragma once

#include <algorithm>

#include "runtime.h"

namespace nvfp4cal_java {

// Layout of Tensor's field `view`, the same as in Tensor.java.
enum View {
  kKind,        // Kind
  kOffset,      // the address itself, or where the first element is: a byte of the buffer, an element of the array
  kSpanBegin,   // arrays: first element that the view touches
  kSpanLength,  // arrays: number of elements from there to the last one
  kDtype,
  kDeviceType,
  kDeviceId,
  kFlags,
  kNdim,
  kShape,
  kStrides = kShape + NVFP4CAL_MAX_NDIM,
  kViewLength = kStrides + NVFP4CAL_MAX_NDIM,
  kReduce = kViewLength,  // behind the view of a state tensor
};
enum Kind { kAddress, kBuffer, kBytes, kShorts, kFloats, kDoubles, kLongs, kQuery, kQuestion };

inline nvfp4cal_tensor empty_tensor() {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  return tensor;
}

// A garbage collection waits for a thread that copies: it gets a turn after this many elements.
inline constexpr jsize kPiece = 1 << 20;
// What every Java machine's arrays can hold.
inline constexpr int64_t kMostElements = INT32_MAX - 8;

template <class Element, class Copy>
bool in_pieces(JNIEnv* env, jsize begin, jsize length, Element* memory, Copy copy) {
  for (jsize done = 0; done < length && !env->ExceptionCheck(); done += std::min(kPiece, length - done)) {
    copy(begin + done, std::min(kPiece, length - done), memory + done);
  }
  return !env->ExceptionCheck();
}

// As DType.arrayKind.
inline jlong array_kind(int32_t dtype) {
  switch (dtype) {
    case NVFP4CAL_DTYPE_F32: return kFloats;
    case NVFP4CAL_DTYPE_F64: return kDoubles;
    case NVFP4CAL_DTYPE_BF16:
    case NVFP4CAL_DTYPE_F16: return kShorts;
    case NVFP4CAL_DTYPE_I64: return kLongs;
    default: return kBytes;
  }
}

inline size_t element_size(jlong kind) { return kind == kBytes ? 1 : kind == kShorts ? 2 : kind == kFloats ? 4 : 8; }

class TensorArgument {
 public:
  TensorArgument() = default;
  TensorArgument(const TensorArgument&) = delete;
  TensorArgument& operator=(const TensorArgument&) = delete;
  ~TensorArgument() {
    if (asked_) queries = nullptr;  // a call that failed before its answer leaves no list behind
  }

  // These return false with an exception pending.
  bool read_input(JNIEnv* env, jobject object) {
    if (!read(env, object) || !point(env)) return false;
    return !is_array() || with_elements(env, [&](auto array, auto* elements, auto get, auto) {
      return in_pieces(env, begin(), length(), elements, [&](auto... region) { (env->*get)(array, region...); });
    });
  }
  bool read_output(JNIEnv* env, jobject object) {
    if (!read(env, object)) return false;
    if (object && view_[kKind] == kQuery) {
      asked_ = true;
      next_query_ = queries;
      queries = this;
    }
    return point(env);
  }

  nvfp4cal_tensor* get() { return object_ ? &tensor_ : nullptr; }

  // After a call that succeeded: an array's elements; for a query also the array itself.
  bool write_back(JNIEnv* env) {
    if (has_no_memory() && !tell_shape(env)) return false;
    return !is_array() || with_elements(env, [&](auto array, auto* elements, auto, auto set) {
      return in_pieces(env, begin(), length(), elements, [&](auto... region) { (env->*set)(array, region...); });
    });
  }

  // Whether this thread's call has outputs that ask for memory; if so, they have it now, and the call is to be made again. They are asked once:
  // in the second round callbacks run, and the list is for the outputs of the calls that they make.
  static bool answer(JNIEnv* env) {
    TensorArgument* const first = queries;
    queries = nullptr;
    for (TensorArgument* output = first; output; output = output->next_query_) {
      if (!output->take_answer(env)) return false;
    }
    return first != nullptr;
  }

 private:
  // Outputs of this thread's call that are shape queries, during its first round, in which no callback runs.
  inline static thread_local TensorArgument* queries = nullptr;

  bool has_no_memory() const { return object_ && view_[kKind] >= kQuery; }
  bool is_array() const { return object_ && view_[kKind] >= kBytes && view_[kKind] <= kLongs; }
  jsize begin() const { return static_cast<jsize>(view_[kSpanBegin]); }
  jsize length() const { return static_cast<jsize>(view_[kSpanLength]); }

  bool read(JNIEnv* env, jobject object) {
    if (!object) return true;
    const auto view = static_cast<jlongArray>(env->GetObjectField(object, runtime.tensor_view));
    storage_ = env->GetObjectField(object, runtime.tensor_storage);
    env->GetLongArrayRegion(view, 0, kViewLength, view_);
    if (env->ExceptionCheck()) return false;
    object_ = object;
    tensor_ = empty_tensor();
    tensor_.flags = static_cast<uint32_t>(view_[kFlags]);
    tensor_.dtype = static_cast<int32_t>(view_[kDtype]);
    tensor_.device_type = static_cast<int32_t>(view_[kDeviceType]);
    tensor_.device_id = static_cast<int32_t>(view_[kDeviceId]);
    tensor_.ndim = static_cast<int32_t>(view_[kNdim]);
    std::copy_n(view_ + kShape, NVFP4CAL_MAX_NDIM, tensor_.shape);
    std::copy_n(view_ + kStrides, NVFP4CAL_MAX_NDIM, tensor_.strides);
    return true;
  }

  // Sets the address of the first element; an array's is in a copy that is still empty.
  bool point(JNIEnv* env) {
    if (!object_ || has_no_memory()) return true;
    if (is_array()) {
      const size_t size = element_size(view_[kKind]);
      if (!memory_.allocate(env, static_cast<size_t>(view_[kSpanLength]) * size)) return false;
      tensor_.data = static_cast<char*>(memory_.data()) + static_cast<size_t>(view_[kOffset] - view_[kSpanBegin]) * size;
      return true;
    }
    if (view_[kKind] == kAddress) {
      tensor_.data = pointer<void>(view_[kOffset]);
      return true;
    }
    char* const base = static_cast<char*>(env->GetDirectBufferAddress(storage_));
    if (!base) throw_status(env, NVFP4CAL_ERROR_UNSUPPORTED, "this Java machine does not give the address of a direct buffer");
    tensor_.data = base + view_[kOffset];
    return base != nullptr;
  }

  // The library has told dtype and shape.
  bool take_answer(JNIEnv* env) {
    int64_t elements = 1;
    for (int32_t d = 0; d < tensor_.ndim; ++d) elements *= tensor_.shape[d];
    if (elements > kMostElements) {
      throw_status(env, NVFP4CAL_ERROR_UNSUPPORTED, "the result has more elements than an array can hold: give an output of your own");
      return false;
    }
    view_[kSpanLength] = elements;
    const size_t size = static_cast<size_t>(elements) * element_size(array_kind(tensor_.dtype));
    if (!memory_.allocate(env, size)) return false;
    tensor_.data = memory_.data();
    return true;
  }

  // Dtype and shape, as Java sees them from now on; for a query also the array that takes the elements.
  bool tell_shape(JNIEnv* env) {
    view_[kDtype] = tensor_.dtype;
    view_[kNdim] = tensor_.ndim;
    std::copy_n(tensor_.shape, NVFP4CAL_MAX_NDIM, view_ + kShape);
    const auto view = static_cast<jlongArray>(env->GetObjectField(object_, runtime.tensor_view));
    env->SetLongArrayRegion(view, kDtype, kViewLength - kDtype, view_ + kDtype);
    if (env->ExceptionCheck() || !asked_) return !env->ExceptionCheck();
    view_[kKind] = array_kind(tensor_.dtype);  // here alone: the Java object may ask again
    return make_array(env);
  }

  bool make_array(JNIEnv* env) {
    storage_ = view_[kKind] == kBytes     ? static_cast<jobject>(env->NewByteArray(length()))
               : view_[kKind] == kShorts  ? static_cast<jobject>(env->NewShortArray(length()))
               : view_[kKind] == kFloats  ? static_cast<jobject>(env->NewFloatArray(length()))
               : view_[kKind] == kDoubles ? static_cast<jobject>(env->NewDoubleArray(length()))
                                          : static_cast<jobject>(env->NewLongArray(length()));
    if (!storage_) return false;
    env->SetObjectField(object_, runtime.tensor_answer, storage_);
    return !env->ExceptionCheck();
  }

  // body(the array of its own type, the copy's elements, region getter, region setter)
  template <class Body>
  bool with_elements(JNIEnv* env, Body&& body) {
    void* const copy = memory_.data();
    switch (view_[kKind]) {
      case kBytes:
        return body(static_cast<jbyteArray>(storage_), static_cast<jbyte*>(copy), &JNIEnv::GetByteArrayRegion, &JNIEnv::SetByteArrayRegion);
      case kShorts:
        return body(static_cast<jshortArray>(storage_), static_cast<jshort*>(copy), &JNIEnv::GetShortArrayRegion,
                    &JNIEnv::SetShortArrayRegion);
      case kFloats:
        return body(static_cast<jfloatArray>(storage_), static_cast<jfloat*>(copy), &JNIEnv::GetFloatArrayRegion,
                    &JNIEnv::SetFloatArrayRegion);
      case kDoubles:
        return body(static_cast<jdoubleArray>(storage_), static_cast<jdouble*>(copy), &JNIEnv::GetDoubleArrayRegion,
                    &JNIEnv::SetDoubleArrayRegion);
      case kLongs:
        return body(static_cast<jlongArray>(storage_), static_cast<jlong*>(copy), &JNIEnv::GetLongArrayRegion, &JNIEnv::SetLongArrayRegion);
      default: throw_status(env, NVFP4CAL_ERROR_INTERNAL, "a tensor of unknown storage"); return false;
    }
  }

  jobject object_ = nullptr, storage_ = nullptr;
  jlong view_[kViewLength] = {};
  nvfp4cal_tensor tensor_{};
  Memory memory_;
  bool asked_ = false;
  TensorArgument* next_query_ = nullptr;
};

// After a call's first round: true if it is to be made again, its queries having memory now.
inline bool answered(JNIEnv* env, nvfp4cal_status status) { return status == NVFP4CAL_OK && TensorArgument::answer(env); }
template <class Result>
bool answered(JNIEnv*, const Result*) {
  return false;
}

// A tensor of native memory in the layout of `view`.
inline void put_view(jlong* view, const nvfp4cal_tensor& tensor) {
  view[kKind] = kAddress;
  view[kOffset] = address_of(tensor.data);
  view[kSpanBegin] = view[kSpanLength] = 0;
  view[kDtype] = tensor.dtype;
  view[kDeviceType] = tensor.device_type;
  view[kDeviceId] = tensor.device_id;
  view[kFlags] = tensor.flags;
  view[kNdim] = tensor.ndim;
  std::copy_n(tensor.shape, NVFP4CAL_MAX_NDIM, view + kShape);
  std::copy_n(tensor.strides, NVFP4CAL_MAX_NDIM, view + kStrides);
}

inline jlongArray view_of(JNIEnv* env, const nvfp4cal_tensor& tensor) {
  jlong view[kViewLength];
  put_view(view, tensor);
  const jlongArray array = env->NewLongArray(kViewLength);
  if (array) env->SetLongArrayRegion(array, 0, kViewLength, view);
  return array;
}

inline void put_state(JNIEnv* env, jlongArray out, const nvfp4cal_tensor& tensor, int32_t reduction) {
  jlong view[kViewLength + 1];
  put_view(view, tensor);
  view[kReduce] = reduction;
  env->SetLongArrayRegion(out, 0, kViewLength + 1, view);
}

}  // namespace nvfp4cal_java
