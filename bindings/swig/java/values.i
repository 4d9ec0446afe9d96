/* Numbers, lists and text. Text crosses as UTF-8 bytes: Java's own JNI strings are "modified UTF-8", which C does not know. */
%define NVFP4CAL_JAVA_ARRAY(pattern, jarray, array)
%typemap(jni) pattern #jarray
%typemap(jtype) pattern #array
%typemap(jstype) pattern #array
%typemap(javain) pattern "$javainput"
%enddef

/* One element, filled in. */
NVFP4CAL_JAVA_ARRAY(int32_t *out, jintArray, int[])
NVFP4CAL_JAVA_ARRAY(int64_t *out, jlongArray, long[])
%typemap(in) int32_t *out (int32_t value) "value = 0; $1 = &value;"
%typemap(in) int64_t *out (int64_t value) "value = 0; $1 = &value;"
%typemap(argout) int32_t *out %{
  nvfp4cal_java::put_int(jenv, $input, *$1);
%}
%typemap(argout) int64_t *out %{
  nvfp4cal_java::put_long(jenv, $input, *$1);
%}

NVFP4CAL_JAVA_ARRAY((const int32_t *axes, int32_t n), jintArray, int[])
NVFP4CAL_JAVA_ARRAY((const int32_t *g_idx, int64_t n), jintArray, int[])
%typemap(in) (const int32_t *axes, int32_t n) (nvfp4cal_java::IntList list), (const int32_t *g_idx, int64_t n) (nvfp4cal_java::IntList list) %{
  if (!list.read(jenv, $input)) return $null;
  $1 = list.values();
  $2 = list.size();
%}

/* Pointers of the observers. */
NVFP4CAL_JAVA_ARRAY((nvfp4cal_observer *const *handles, int32_t n), jlongArray, long[])
%typemap(in) (nvfp4cal_observer *const *handles, int32_t n) (nvfp4cal_java::HandleList<nvfp4cal_observer> list) %{
  if (!list.read(jenv, $input)) return $null;
  $1 = list.values();
  $2 = list.size();
%}

/* Text in. */
%typemap(jni) const char * "jbyteArray"
%typemap(jtype) const char * "byte[]"
%typemap(jstype) const char * "String"
%typemap(javain) const char * "Text.utf8($javainput)"
%typemap(in) const char * (nvfp4cal_java::TextArgument text) %{
  if (!text.read(jenv, $input)) return $null;
  $1 = text.get();
%}
%typemap(freearg) const char * ""

/* Text out: copied before the call returns. */
%typemap(out) const char * %{
  $result = nvfp4cal_java::bytes_of(jenv, $1);
%}
%typemap(javaout) const char * {
    return Text.of($jnicall);
  }
NVFP4CAL_JAVA_ARRAY(const char **out_json, jobjectArray, byte[][])
%typemap(in) const char **out_json (char *value) "value = NULL; $1 = &value;"
%typemap(argout) const char **out_json %{
  nvfp4cal_java::put_bytes(jenv, $input, *$1);
%}
