/*
 * Tensors: the Java class Tensor on both sides of the border (tensor_argument.h reads it). A heap array is copied to native memory before
 * the call and, if it is an output, back after it; no critical section is held. Direct buffers and addresses are passed on as they are.
 */
%typemap(jni) const nvfp4cal_tensor *, nvfp4cal_tensor * "jobject"
%typemap(jtype) const nvfp4cal_tensor *, nvfp4cal_tensor * "Tensor"
%typemap(jstype) const nvfp4cal_tensor *, nvfp4cal_tensor * "Tensor"
%typemap(javain, pre="    TensorUse $javainputUse = new TensorUse();", post="      $javainputUse.end();")
  const nvfp4cal_tensor * "$javainputUse.input($javainput)"
%typemap(javain, pre="    TensorUse $javainputUse = new TensorUse();", post="      $javainputUse.end();")
  nvfp4cal_tensor * "$javainputUse.output($javainput)"

%typemap(in) const nvfp4cal_tensor * (nvfp4cal_java::TensorArgument argument) %{
  if (!argument.read_input(jenv, $input)) return $null;
  $1 = argument.get();
%}
%typemap(in) nvfp4cal_tensor * (nvfp4cal_java::TensorArgument argument) %{
  if (!argument.read_output(jenv, $input)) return $null;
  $1 = argument.get();
%}
%typemap(argout) const nvfp4cal_tensor * ""
%typemap(argout) nvfp4cal_tensor * %{
  if (!argument$argnum.write_back(jenv)) return $null;
%}

/* The state's own memory: a long[] in the layout of Tensor, the reduction behind it. */
%typemap(jni) (nvfp4cal_tensor *view, int32_t *reduce) "jlongArray"
%typemap(jtype) (nvfp4cal_tensor *view, int32_t *reduce) "long[]"
%typemap(jstype) (nvfp4cal_tensor *view, int32_t *reduce) "long[]"
%typemap(javain) (nvfp4cal_tensor *view, int32_t *reduce) "$javainput"
%typemap(in) (nvfp4cal_tensor *view, int32_t *reduce) (nvfp4cal_tensor tensor, int32_t reduction) %{
  tensor = nvfp4cal_java::empty_tensor();
  reduction = 0;
  $1 = &tensor;
  $2 = &reduction;
%}
%typemap(argout) (nvfp4cal_tensor *view, int32_t *reduce) %{
  nvfp4cal_java::put_state(jenv, $input, *$1, *$2);
%}

%typemap(jni) nvfp4cal_stream "jlong"
%typemap(jtype) nvfp4cal_stream "long"
%typemap(jstype) nvfp4cal_stream "long"
%typemap(javain) nvfp4cal_stream "$javainput"
%typemap(in) nvfp4cal_stream "$1 = nvfp4cal_java::pointer<CUstream_st>($input);"
