/*
 * The first of the Java files: what the generated layer looks like, and statuses.
 *
 * Generated classes are package-private and called Native...: users see the hand-written classes over them (bindings/java). They own no memory
 * of their own accord: the classes over them decide when a handle is destroyed, by a Cleaner, so there is no finalize().
 */
%pragma(java) jniclassclassmodifiers="final class"
%pragma(java) moduleclassmodifiers="final class"
%pragma(java) jniclasscode=%{
  static {
    NativeLoader.load();
  }
%}
%typemap(javaclassmodifiers) SWIGTYPE "final class"
%typemap(javafinalize) SWIGTYPE ""

/* What calibrators have in common is called through one interface. */
%typemap(javainterfaces) nvfp4cal_max, nvfp4cal_sweep, nvfp4cal_actmax, nvfp4cal_hessian, nvfp4cal_observer, nvfp4cal_mse "NativeCalibrator"

%rename(NativeMax) nvfp4cal_max;
%rename(NativeSweep) nvfp4cal_sweep;
%rename(NativeActMax) nvfp4cal_actmax;
%rename(NativeHessian) nvfp4cal_hessian;
%rename(NativeGptq) nvfp4cal_gptq;
%rename(NativeObserver) nvfp4cal_observer;
%rename(NativeMse) nvfp4cal_mse;
%rename(NativeCheckpoint) nvfp4cal_checkpoint;
%rename(NativeContext) nvfp4cal_context;

/* Crossed by typemaps; no class of theirs is needed. */
%ignore nvfp4cal_tensor;
%ignore nvfp4cal_options;
%ignore nvfp4cal_block_options;
%ignore nvfp4cal_actmax_stats;
%ignore nvfp4cal_gptq_objectives;

/* Constants become constants of Java; those with a C suffix are asked from C. */
%feature("java:const", "1");
%feature("java:const", "0") NVFP4CAL_TENSOR_HAS_STRIDES;
%feature("java:const", "0") NVFP4CAL_OPTION_CODE_WINDOW;
%feature("java:const", "0") NVFP4CAL_BLOCK_SEARCH_NOISE;
%feature("java:const", "0") NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL;

%{
#include "callbacks.h"
#include "runtime.h"
#include "tensor_argument.h"
#include "values.h"
%}

/* An output of unknown shape asks for it in a first round; nothing is computed there. */
%exception {
  $action
  if (nvfp4cal_java::answered(jenv, result)) {
    $action
  }
}

%typemap(jni) nvfp4cal_status "void"
%typemap(jtype) nvfp4cal_status "void"
%typemap(jstype) nvfp4cal_status "void"
%typemap(javaout) nvfp4cal_status {
    $jnicall;
  }
/* A status that is not OK, or an exception that a callback left behind, ends the call here: outputs are not touched. */
%typemap(out) nvfp4cal_status %{
  if (nvfp4cal_java::failed(jenv, $1)) return $null;
%}

/* A constructor's. */
%typemap(in, numinputs=0) nvfp4cal_status *status (nvfp4cal_status value) "$1 = &value;"
%typemap(argout) nvfp4cal_status *status %{
  if (nvfp4cal_java::failed(jenv, *$1)) return $null;
%}

/* nvfp4cal_status_string takes any number. */
%typemap(jni) nvfp4cal_status status "jint"
%typemap(jtype) nvfp4cal_status status "int"
%typemap(jstype) nvfp4cal_status status "int"
%typemap(in) nvfp4cal_status status "$1 = (nvfp4cal_status)$input;"
%typemap(javain) nvfp4cal_status status "$javainput"
