// Options, statistics, numbers, lists and text.
#pragma once

#include "tensor_argument.h"

namespace nvfp4cal_java {

inline void put_int(JNIEnv* env, jintArray out, int32_t value) {
  const jint one = value;
  env->SetIntArrayRegion(out, 0, 1, &one);
}
inline void put_long(JNIEnv* env, jlongArray out, int64_t value) {
  const jlong one = value;
  env->SetLongArrayRegion(out, 0, 1, &one);
}
inline void put_bytes(JNIEnv* env, jobjectArray out, const char* text) {
  const jbyteArray bytes = bytes_of(env, text);
  if (!env->ExceptionCheck()) env->SetObjectArrayElement(out, 0, bytes);
}

// An int[], null or empty: no elements.
class IntList {
 public:
  bool read(JNIEnv* env, jintArray array) {
    size_ = array ? env->GetArrayLength(array) : 0;
    if (!memory_.allocate(env, static_cast<size_t>(size_) * sizeof(jint))) return false;
    if (size_) env->GetIntArrayRegion(array, 0, size_, static_cast<jint*>(memory_.data()));
    return !env->ExceptionCheck();
  }
  int32_t* values() const { return static_cast<int32_t*>(memory_.data()); }
  jsize size() const { return size_; }

 private:
  Memory memory_;
  jsize size_ = 0;
};

// A long[] of pointers.
template <class Handle>
class HandleList {
 public:
  bool read(JNIEnv* env, jlongArray array) {
    static_assert(sizeof(jlong) == sizeof(Handle*), "pointers of 64 bits");
    size_ = env->GetArrayLength(array);
    if (!memory_.allocate(env, static_cast<size_t>(size_) * sizeof(jlong))) return false;
    env->GetLongArrayRegion(array, 0, size_, static_cast<jlong*>(memory_.data()));
    return !env->ExceptionCheck();
  }
  Handle** values() const { return static_cast<Handle**>(memory_.data()); }
  int32_t size() const { return size_; }

 private:
  Memory memory_;
  jsize size_ = 0;
};

// UTF-8 bytes as text that ends in a zero; null: NULL.
class TextArgument {
 public:
  bool read(JNIEnv* env, jbyteArray bytes) {
    if (!bytes) return true;
    const jsize size = env->GetArrayLength(bytes);
    if (!memory_.allocate(env, static_cast<size_t>(size) + 1)) return false;
    char* const text = static_cast<char*>(memory_.data());
    env->GetByteArrayRegion(bytes, 0, size, reinterpret_cast<jbyte*>(text));
    text[size] = '\0';
    return !env->ExceptionCheck();
  }
  char* get() const { return static_cast<char*>(memory_.data()); }

 private:
  Memory memory_;
};

// QuantizeOptions: its int[] holds the fields of the struct from flags on, in order.
inline bool read_options(JNIEnv* env, jobject object, nvfp4cal_options& options, TensorArgument& weights) {
  if (!object) return true;
  jint values[7];
  env->GetIntArrayRegion(static_cast<jintArray>(env->GetObjectField(object, runtime.options_values)), 0, 7, values);
  if (env->ExceptionCheck()) return false;
  const jobject tensor = env->GetObjectField(object, runtime.options_weights);
  if (!weights.read_input(env, tensor)) return false;
  options = nvfp4cal_options();
  options.struct_size = sizeof options;
  options.flags = static_cast<uint32_t>(values[0]);
  options.method = values[1];
  options.block_size = values[2];
  options.normalization = values[3];
  options.code_lo = values[4];
  options.code_hi = values[5];
  options.scale_layout = values[6];
  options.weights = weights.get();
  return true;
}

// BlockOptions: the same.
inline bool read_block_options(JNIEnv* env, jobject object, nvfp4cal_block_options& options) {
  if (!object) return true;
  jint values[3];
  env->GetIntArrayRegion(static_cast<jintArray>(env->GetObjectField(object, runtime.block_options_values)), 0, 3, values);
  if (env->ExceptionCheck()) return false;
  options = nvfp4cal_block_options();
  options.struct_size = sizeof options;
  options.flags = static_cast<uint32_t>(values[0]);
  options.n_outer = values[1];
  options.n_inner = values[2];
  return true;
}

inline jlong bits_of(double value) {
  jlong bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// In the order of the record ActMaxStats; floats as the bits of a double.
inline void put_stats(JNIEnv* env, jlongArray out, const nvfp4cal_actmax_stats& stats) {
  const jlong values[] = {stats.term,
                          stats.blocks,
                          bits_of(stats.p1),
                          bits_of(stats.p99_99),
                          bits_of(stats.b_min),
                          bits_of(stats.b_max),
                          bits_of(static_cast<double>(stats.literal_max)),
                          bits_of(static_cast<double>(stats.result))};
  env->SetLongArrayRegion(out, 0, 8, values);
}

// In the order of the record GptqObjectives.
inline void put_objectives(JNIEnv* env, jlongArray out, const nvfp4cal_gptq_objectives& objectives) {
  const jlong values[] = {bits_of(objectives.nearest), bits_of(objectives.rounding), bits_of(objectives.descent),
                          bits_of(objectives.neighbourhood)};
  env->SetLongArrayRegion(out, 0, 4, values);
}

}  // namespace nvfp4cal_java
