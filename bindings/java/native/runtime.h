// What every part of the JNI layer needs: the classes and members of Java that it uses, exceptions, text.
// One translation unit (SWIG's wrapper) includes these headers; nothing here throws a C++ exception.
#pragma once

#include <jni.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "nvfp4cal.h"

namespace nvfp4cal_java {

// Looked up once, when the library is loaded.
struct Runtime {
  JavaVM* vm = nullptr;
  jclass exception = nullptr;  // global references
  jclass tensor = nullptr;
  jclass callback = nullptr;
  jmethodID exception_create = nullptr;
  jfieldID tensor_storage = nullptr, tensor_answer = nullptr, tensor_view = nullptr;
  jfieldID options_values = nullptr, options_weights = nullptr, block_options_values = nullptr;
  jmethodID on_tensors = nullptr, on_progress = nullptr, on_tasks = nullptr;
};
inline Runtime runtime;

template <class T>
T* pointer(jlong address) {
  return reinterpret_cast<T*>(static_cast<intptr_t>(address));
}
inline jlong address_of(const void* pointer) { return static_cast<jlong>(reinterpret_cast<intptr_t>(pointer)); }

// UTF-8 text as a byte[], null for NULL or with an exception pending.
inline jbyteArray bytes_of(JNIEnv* env, const char* text) {
  if (!text) return nullptr;
  const jsize size = static_cast<jsize>(std::strlen(text));
  const jbyteArray bytes = env->NewByteArray(size);
  if (bytes) env->SetByteArrayRegion(bytes, 0, size, reinterpret_cast<const jbyte*>(text));
  return bytes;
}

// Throws the status as Nvfp4calException; what a callback threw becomes its cause.
inline void throw_status(JNIEnv* env, nvfp4cal_status status, const char* message) {
  const jthrowable cause = env->ExceptionOccurred();
  env->ExceptionClear();
  const jbyteArray text = bytes_of(env, message);
  if (env->ExceptionCheck()) return;  // out of memory
  const jobject exception = env->CallStaticObjectMethod(runtime.exception, runtime.exception_create, status, text, cause);
  if (!env->ExceptionCheck()) env->Throw(static_cast<jthrowable>(exception));
}

// True if the call is over: its status is an error, or an exception is pending (which a callback threw and the library took no notice of).
inline bool failed(JNIEnv* env, nvfp4cal_status status) {
  if (status != NVFP4CAL_OK) throw_status(env, status, nvfp4cal_last_error());
  return env->ExceptionCheck();
}

inline bool out_of_memory(JNIEnv* env) {
  throw_status(env, NVFP4CAL_ERROR_OUT_OF_MEMORY, "out of native memory for a copy of an array");
  return false;
}

// A block of memory that is freed when its owner goes.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(data_); }

  bool allocate(JNIEnv* env, size_t size) {
    data_ = std::malloc(size ? size : 1);
    return data_ ? true : out_of_memory(env);
  }
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

inline jclass global_class(JNIEnv* env, const char* name) {
  const jclass local = env->FindClass(name);
  return local ? static_cast<jclass>(env->NewGlobalRef(local)) : nullptr;
}

inline bool look_up(JNIEnv* env) {
  Runtime& r = runtime;
  const jclass options = env->FindClass("io/nvfp4cal/QuantizeOptions"), block_options = env->FindClass("io/nvfp4cal/BlockOptions");
  r.exception = global_class(env, "io/nvfp4cal/Nvfp4calException");
  r.tensor = global_class(env, "io/nvfp4cal/Tensor");
  r.callback = global_class(env, "io/nvfp4cal/NativeCallback");
  if (!options || !block_options || !r.exception || !r.tensor || !r.callback) return false;
  r.exception_create = env->GetStaticMethodID(r.exception, "create", "(I[BLjava/lang/Throwable;)Lio/nvfp4cal/Nvfp4calException;");
  r.tensor_storage = env->GetFieldID(r.tensor, "storage", "Ljava/lang/Object;");
  r.tensor_answer = env->GetFieldID(r.tensor, "answer", "Ljava/lang/Object;");
  r.tensor_view = env->GetFieldID(r.tensor, "view", "[J");
  r.options_values = env->GetFieldID(options, "values", "[I");
  r.options_weights = env->GetFieldID(options, "weights", "Lio/nvfp4cal/Tensor;");
  r.block_options_values = env->GetFieldID(block_options, "values", "[I");
  r.on_tensors = env->GetMethodID(r.callback, "onTensors", "([J[J[J)V");
  r.on_progress = env->GetMethodID(r.callback, "onProgress", "(JJ[B)V");
  r.on_tasks = env->GetMethodID(r.callback, "onTasks", "(JJJ)V");
  return !env->ExceptionCheck();
}

}  // namespace nvfp4cal_java

extern "C" JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM* vm, void*) {
  JNIEnv* env = nullptr;
  if (vm->GetEnv(reinterpret_cast<void**>(&env), JNI_VERSION_1_8) != JNI_OK) return JNI_ERR;
  nvfp4cal_java::runtime.vm = vm;
  return nvfp4cal_java::look_up(env) ? JNI_VERSION_1_8 : JNI_ERR;
}
