/* Structs of numbers: an Options object's fields are read here; statistics come back as the bits of a long[]. */
%define NVFP4CAL_JAVA_OPTIONS(type, class)
%typemap(jni) const type * "jobject"
%typemap(jtype) const type * #class
%typemap(jstype) const type * #class
%typemap(javain) const type * "$javainput"
%enddef

NVFP4CAL_JAVA_OPTIONS(nvfp4cal_options, QuantizeOptions)
NVFP4CAL_JAVA_OPTIONS(nvfp4cal_block_options, BlockOptions)
%typemap(javain, pre="    TensorUse $javainputUse = new TensorUse();", post="      $javainputUse.end();")
  const nvfp4cal_options * "$javainputUse.options($javainput)"

%typemap(in) const nvfp4cal_options * (nvfp4cal_options options, nvfp4cal_java::TensorArgument weights) %{
  if (!nvfp4cal_java::read_options(jenv, $input, options, weights)) return $null;
  $1 = $input ? &options : NULL;
%}
%typemap(in) const nvfp4cal_block_options * (nvfp4cal_block_options options) %{
  if (!nvfp4cal_java::read_block_options(jenv, $input, options)) return $null;
  $1 = $input ? &options : NULL;
%}

%typemap(jni) nvfp4cal_actmax_stats *out "jlongArray"
%typemap(jtype) nvfp4cal_actmax_stats *out "long[]"
%typemap(jstype) nvfp4cal_actmax_stats *out "long[]"
%typemap(javain) nvfp4cal_actmax_stats *out "$javainput"
%typemap(in) nvfp4cal_actmax_stats *out (nvfp4cal_actmax_stats stats) %{
  stats = nvfp4cal_actmax_stats();
  stats.struct_size = sizeof stats;
  $1 = &stats;
%}
%typemap(argout) nvfp4cal_actmax_stats *out %{
  nvfp4cal_java::put_stats(jenv, $input, *$1);
%}

%typemap(jni) nvfp4cal_gptq_objectives *out "jlongArray"
%typemap(jtype) nvfp4cal_gptq_objectives *out "long[]"
%typemap(jstype) nvfp4cal_gptq_objectives *out "long[]"
%typemap(javain) nvfp4cal_gptq_objectives *out "$javainput"
%typemap(in) nvfp4cal_gptq_objectives *out (nvfp4cal_gptq_objectives objectives) %{
  objectives = nvfp4cal_gptq_objectives();
  objectives.struct_size = sizeof objectives;
  $1 = &objectives;
%}
%typemap(argout) nvfp4cal_gptq_objectives *out %{
  nvfp4cal_java::put_objectives(jenv, $input, *$1);
%}
