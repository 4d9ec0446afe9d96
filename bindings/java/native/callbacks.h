// C callbacks that call methods of a NativeCallback. user is a weak global reference: the handle's Java object holds the callback, so that a
// callback that refers to its own handle keeps neither alive.
#pragma once

#include "tensor_argument.h"

namespace nvfp4cal_java {

// Calls body(env, callback) in a frame of local references; 0 unless it left an exception, which stays pending for the caller of the library.
template <class Body>
int32_t call_back(void* user, Body&& body) {
  JNIEnv* env = nullptr;
  if (runtime.vm->GetEnv(reinterpret_cast<void**>(&env), JNI_VERSION_1_8) != JNI_OK) return -1;  // not a thread of Java's
  if (env->ExceptionCheck() || env->PushLocalFrame(16) != 0) return -1;
  const jobject callback = env->NewLocalRef(static_cast<jweak>(user));
  if (callback) body(env, callback);
  env->PopLocalFrame(nullptr);
  return callback && !env->ExceptionCheck() ? 0 : -1;
}

// nvfp4cal_quantize_callback and nvfp4cal_error_callback: (x, amax, out) or (x, xq, out).
inline int32_t on_tensors(void* user, const nvfp4cal_tensor* first, const nvfp4cal_tensor* second, nvfp4cal_tensor* out) {
  return call_back(user, [&](JNIEnv* env, jobject callback) {
    const jlongArray a = view_of(env, *first), b = a ? view_of(env, *second) : nullptr, c = b ? view_of(env, *out) : nullptr;
    if (c) env->CallVoidMethod(callback, runtime.on_tensors, a, b, c);
  });
}

// nvfp4cal_progress
inline int32_t on_progress(void* user, int64_t done, int64_t total, const char* name) {
  return call_back(user, [&](JNIEnv* env, jobject callback) {
    const jbyteArray text = bytes_of(env, name);
    if (text) env->CallVoidMethod(callback, runtime.on_progress, static_cast<jlong>(done), static_cast<jlong>(total), text);
  });
}

// nvfp4cal_runner
inline int32_t on_tasks(void* user, void* job, nvfp4cal_task task, int64_t n) {
  return call_back(user, [&](JNIEnv* env, jobject callback) {
    env->CallVoidMethod(callback, runtime.on_tasks, address_of(job), address_of(reinterpret_cast<void*>(task)), static_cast<jlong>(n));
  });
}

}  // namespace nvfp4cal_java

// What %native in callbacks.i declares.
extern "C" {

JNIEXPORT jlong JNICALL Java_io_nvfp4cal_NativeJNI_new_1reference(JNIEnv* env, jclass, jobject object) {
  return nvfp4cal_java::address_of(env->NewWeakGlobalRef(object));
}

JNIEXPORT void JNICALL Java_io_nvfp4cal_NativeJNI_delete_1reference(JNIEnv* env, jclass, jlong reference) {
  env->DeleteWeakGlobalRef(nvfp4cal_java::pointer<_jobject>(reference));
}

JNIEXPORT void JNICALL Java_io_nvfp4cal_NativeJNI_run_1task(JNIEnv*, jclass, jlong job, jlong task, jlong index) {
  reinterpret_cast<nvfp4cal_task>(static_cast<intptr_t>(task))(nvfp4cal_java::pointer<void>(job), index);
}

JNIEXPORT jobject JNICALL Java_io_nvfp4cal_NativeJNI_buffer_1at(JNIEnv* env, jclass, jlong address, jlong size) {
  return env->NewDirectByteBuffer(nvfp4cal_java::pointer<void>(address), size);
}

}  // extern "C"
