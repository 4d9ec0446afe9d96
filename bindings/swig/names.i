/* Names: the prefix is the module's job. A class is called as its type, without the calibrator's ending, which the classes over it have. */

%rename("%(strip:[nvfp4cal_])s", %$isfunction) "";
%rename("%(strip:[NVFP4CAL_])s", %$isconstant) "";

%rename(Tensor) nvfp4cal_tensor;
%rename(Options) nvfp4cal_options;
%rename(BlockOptions) nvfp4cal_block_options;
%rename(ActMaxStats) nvfp4cal_actmax_stats;
%rename(GptqObjectives) nvfp4cal_gptq_objectives;
%rename(Max) nvfp4cal_max;
%rename(Sweep) nvfp4cal_sweep;
%rename(ActMax) nvfp4cal_actmax;
%rename(Hessian) nvfp4cal_hessian;
%rename(Gptq) nvfp4cal_gptq;
%rename(Observer) nvfp4cal_observer;
%rename(Mse) nvfp4cal_mse;
%rename(Checkpoint) nvfp4cal_checkpoint;
%rename(Context) nvfp4cal_context;

/* The functions of the handles are methods (handles.i). */
%rename("$ignore", regexmatch$name="^nvfp4cal_(max|sweep|actmax|hessian|gptq|observer|mse|checkpoint|context)_") "";

/* Details of C: the include guard, the export macro, the version of the header (nvfp4cal_version() tells the library's), sizes of structs. */
%ignore NVFP4CAL_H;
%ignore NVFP4CAL_API;
%ignore NVFP4CAL_VERSION_MAJOR;
%ignore NVFP4CAL_VERSION_MINOR;
%ignore NVFP4CAL_VERSION_PATCH;
%ignore NVFP4CAL_VERSION_NUMBER;
%ignore struct_size;
