/*
 * Callbacks: the Java side hands over a NativeCallback's reference (a weak global one, made and freed by the functions below), 0 for none.
 * The C side calls back by it (callbacks.h). An exception of Java stays pending while the library unwinds and becomes the cause of what is thrown.
 */
%define NVFP4CAL_JAVA_CALLBACK(pattern, function)
%typemap(jni) pattern "jlong"
%typemap(jtype) pattern "long"
%typemap(jstype) pattern "long"
%typemap(javain) pattern "$javainput"
%typemap(in) pattern %{
  $1 = $input ? nvfp4cal_java::function : NULL;
  $2 = nvfp4cal_java::pointer<void>($input);
%}
%enddef

NVFP4CAL_JAVA_CALLBACK((nvfp4cal_quantize_callback callback, void *user), on_tensors)
NVFP4CAL_JAVA_CALLBACK((nvfp4cal_progress callback, void *user), on_progress)
NVFP4CAL_JAVA_CALLBACK((nvfp4cal_runner runner, void *user), on_tasks)

/* Three C parameters: which values the callback fills in, and the callback. */
%typemap(jni) (nvfp4cal_error_callback callback, int32_t values, void *user) "jlongArray"
%typemap(jtype) (nvfp4cal_error_callback callback, int32_t values, void *user) "long[]"
%typemap(jstype) (nvfp4cal_error_callback callback, int32_t values, void *user) "long[]"
%typemap(javain) (nvfp4cal_error_callback callback, int32_t values, void *user) "$javainput"
%typemap(in) (nvfp4cal_error_callback callback, int32_t values, void *user) (jlong pair[2]) %{
  jenv->GetLongArrayRegion($input, 0, 2, pair);
  if (jenv->ExceptionCheck()) return $null;
  $1 = pair[0] ? nvfp4cal_java::on_tensors : NULL;
  $2 = (int32_t)pair[1];
  $3 = nvfp4cal_java::pointer<void>(pair[0]);
%}

/* Addresses of two C functions and what they are given. */
%typemap(jni) (nvfp4cal_device_allocate allocate, nvfp4cal_device_free release, void *user) "jlongArray"
%typemap(jtype) (nvfp4cal_device_allocate allocate, nvfp4cal_device_free release, void *user) "long[]"
%typemap(jstype) (nvfp4cal_device_allocate allocate, nvfp4cal_device_free release, void *user) "long[]"
%typemap(javain) (nvfp4cal_device_allocate allocate, nvfp4cal_device_free release, void *user) "$javainput"
%typemap(in) (nvfp4cal_device_allocate allocate, nvfp4cal_device_free release, void *user) (jlong three[3]) %{
  jenv->GetLongArrayRegion($input, 0, 3, three);
  if (jenv->ExceptionCheck()) return $null;
  $1 = reinterpret_cast<nvfp4cal_device_allocate>(three[0]);
  $2 = reinterpret_cast<nvfp4cal_device_free>(three[1]);
  $3 = nvfp4cal_java::pointer<void>(three[2]);
%}

/* In callbacks.h: names and signatures as here. */
%native(new_reference) jlong new_reference(jobject);
%native(delete_reference) void delete_reference(jlong);
%native(run_task) void run_task(jlong, jlong, jlong);
%native(buffer_at) jobject buffer_at(jlong, jlong);
