/*
 * Handles as classes. A method without a body in %extend is the C function nvfp4cal_<type>_<method>: nothing is written twice. The list below
 * is compared with the header by tests/abi/check_bindings.py.
 * A constructor's status comes by a parameter, which a typemap (status.i) takes off the target language's signature.
 */
%nodefaultctor;
%nodefaultdtor;

%define NVFP4CAL_HANDLE(type)
struct type {};
%noexception type::~type;
%extend type {
  type(nvfp4cal_status *status) {
    type *handle = NULL;
    *status = type##_create(&handle);
    return handle;
  }
  ~type() { type##_destroy($self); }
}
%enddef

NVFP4CAL_HANDLE(nvfp4cal_max)
%extend nvfp4cal_max {
  nvfp4cal_status set_context(const nvfp4cal_context *context);
  nvfp4cal_status set_axes(const int32_t *axes, int32_t n);
  nvfp4cal_status set_block_size(int32_t block_size);
  nvfp4cal_status collect(const nvfp4cal_tensor *x, nvfp4cal_stream stream);
  nvfp4cal_status compute_amax(nvfp4cal_tensor *out);
  nvfp4cal_status merge(const nvfp4cal_max *other);
  nvfp4cal_status export_state(nvfp4cal_tensor *out);
  nvfp4cal_status import_state(const nvfp4cal_tensor *state);
  nvfp4cal_status state_tensor(int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
  nvfp4cal_status reset();
  const char *last_error();
}

NVFP4CAL_HANDLE(nvfp4cal_sweep)
%extend nvfp4cal_sweep {
  nvfp4cal_status set_context(const nvfp4cal_context *context);
  nvfp4cal_status set_block_size(int32_t block_size);
  nvfp4cal_status set_normalization(int32_t normalization);
  nvfp4cal_status set_global_amax(const nvfp4cal_tensor *global_amax);
  nvfp4cal_status set_global_amax_from(const nvfp4cal_max *max);
  nvfp4cal_status set_weights(const nvfp4cal_tensor *weights);
  nvfp4cal_status set_hessian(const nvfp4cal_tensor *hessian);
  nvfp4cal_status set_code_window(int32_t lo, int32_t hi);
  nvfp4cal_status set_initial_amax(const nvfp4cal_tensor *amax);
  nvfp4cal_status initial_amax(nvfp4cal_tensor *out);
  nvfp4cal_status set_quantize_callback(nvfp4cal_quantize_callback callback, void *user);
  nvfp4cal_status set_error_callback(nvfp4cal_error_callback callback, int32_t values, void *user);
  nvfp4cal_status collect(const nvfp4cal_tensor *x, nvfp4cal_stream stream);
  nvfp4cal_status compute_amax(nvfp4cal_tensor *out);
  nvfp4cal_status compute_codes(nvfp4cal_tensor *out);
  nvfp4cal_status merge(const nvfp4cal_sweep *other);
  nvfp4cal_status export_state(nvfp4cal_tensor *out);
  nvfp4cal_status import_state(const nvfp4cal_tensor *state);
  nvfp4cal_status reset();
  const char *last_error();
}

NVFP4CAL_HANDLE(nvfp4cal_actmax)
%extend nvfp4cal_actmax {
  nvfp4cal_status set_context(const nvfp4cal_context *context);
  nvfp4cal_status set_rho(double rho);
  nvfp4cal_status set_percentiles(double b_min_percentile, double b_max_percentile);
  nvfp4cal_status set_margin(double margin);
  nvfp4cal_status set_bins(int32_t num_bins, double log2_min, double log2_max);
  nvfp4cal_status set_block_size(int32_t block_size);
  nvfp4cal_status set_headroom(int32_t enable);
  nvfp4cal_status collect(const nvfp4cal_tensor *x, nvfp4cal_stream stream);
  nvfp4cal_status compute_amax(nvfp4cal_tensor *out);
  nvfp4cal_status compute_stats(nvfp4cal_actmax_stats *out);
  nvfp4cal_status merge(const nvfp4cal_actmax *other);
  nvfp4cal_status export_state(nvfp4cal_tensor *out);
  nvfp4cal_status import_state(const nvfp4cal_tensor *state);
  nvfp4cal_status state_tensor(int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
  nvfp4cal_status reset();
  const char *last_error();
}

NVFP4CAL_HANDLE(nvfp4cal_hessian)
%extend nvfp4cal_hessian {
  nvfp4cal_status set_context(const nvfp4cal_context *context);
  nvfp4cal_status set_layout(int32_t layout);
  nvfp4cal_status set_block_size(int32_t block_size);
  nvfp4cal_status set_normalize(int32_t enable);
  nvfp4cal_status set_damping(double fraction);
  nvfp4cal_status collect(const nvfp4cal_tensor *x, nvfp4cal_stream stream);
  nvfp4cal_status rows(int64_t *out);
  nvfp4cal_status compute_hessian(nvfp4cal_tensor *out);
  nvfp4cal_status merge(const nvfp4cal_hessian *other);
  nvfp4cal_status export_state(nvfp4cal_tensor *out);
  nvfp4cal_status import_state(const nvfp4cal_tensor *state);
  nvfp4cal_status state_tensor(int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
  nvfp4cal_status reset();
  const char *last_error();
}

NVFP4CAL_HANDLE(nvfp4cal_gptq)
%extend nvfp4cal_gptq {
  nvfp4cal_status set_context(const nvfp4cal_context *context);
  nvfp4cal_status set_damping(double fraction);
  nvfp4cal_status set_effort(int32_t effort);
  nvfp4cal_status set_measure_objectives(int32_t enable);
  nvfp4cal_status set_hessian(const nvfp4cal_hessian *hessian, const nvfp4cal_tensor *cross);
  nvfp4cal_status set_hessian_tensor(const nvfp4cal_tensor *hessian, const nvfp4cal_tensor *cross);
  nvfp4cal_status quantize(const nvfp4cal_tensor *x, const nvfp4cal_tensor *global_amax, nvfp4cal_tensor *packed, nvfp4cal_tensor *scales,
                           nvfp4cal_tensor *global_scale, nvfp4cal_tensor *used_amax, nvfp4cal_tensor *dequantized, nvfp4cal_stream stream);
  nvfp4cal_status compute_objectives(nvfp4cal_gptq_objectives *out);
  nvfp4cal_status reset();
  const char *last_error();
}

NVFP4CAL_HANDLE(nvfp4cal_observer)
%extend nvfp4cal_observer {
  nvfp4cal_status set_context(const nvfp4cal_context *context);
  nvfp4cal_status set_kind(int32_t kind);
  nvfp4cal_status set_observed(int32_t observed);
  nvfp4cal_status set_format(int32_t format);
  nvfp4cal_status set_symmetric(int32_t enable);
  nvfp4cal_status set_strategy(int32_t strategy);
  nvfp4cal_status set_group_size(int32_t group_size);
  nvfp4cal_status set_block_structure(int32_t height, int32_t width);
  nvfp4cal_status set_g_idx(const int32_t *g_idx, int64_t n);
  nvfp4cal_status set_maxshrink(double maxshrink);
  nvfp4cal_status set_patience(int32_t patience);
  nvfp4cal_status set_grid(double grid);
  nvfp4cal_status set_norm(double norm);
  nvfp4cal_status set_expand(double expand);
  nvfp4cal_status set_averaging_constant(double constant);
  nvfp4cal_status set_global_scale(float global_scale);
  nvfp4cal_status set_optimize_global_scale(int32_t enable);
  nvfp4cal_status collect(const nvfp4cal_tensor *x, nvfp4cal_stream stream);
  nvfp4cal_status compute_range(nvfp4cal_tensor *min, nvfp4cal_tensor *max);
  nvfp4cal_status compute_scale(nvfp4cal_tensor *scale, nvfp4cal_tensor *zero_point);
  nvfp4cal_status compute_global_scale(nvfp4cal_tensor *out);
  nvfp4cal_status compute_global_range(nvfp4cal_tensor *min, nvfp4cal_tensor *max);
  static nvfp4cal_status fuse(nvfp4cal_observer *const *handles, int32_t n);
  nvfp4cal_status merge(const nvfp4cal_observer *other);
  nvfp4cal_status export_state(nvfp4cal_tensor *out);
  nvfp4cal_status import_state(const nvfp4cal_tensor *state);
  nvfp4cal_status state_tensor(int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
  nvfp4cal_status reset();
  const char *last_error();
}

NVFP4CAL_HANDLE(nvfp4cal_mse)
%extend nvfp4cal_mse {
  nvfp4cal_status set_context(const nvfp4cal_context *context);
  nvfp4cal_status set_initial_amax(const nvfp4cal_tensor *amax);
  nvfp4cal_status set_axes(const int32_t *axes, int32_t n);
  nvfp4cal_status set_multipliers(double start, double stop, double step);
  nvfp4cal_status set_int_quantizer(int32_t bits, int32_t range);
  nvfp4cal_status set_float_quantizer(int32_t format);
  nvfp4cal_status set_nvfp4_quantizer(float global_amax);
  nvfp4cal_status set_quantize_callback(nvfp4cal_quantize_callback callback, void *user);
  nvfp4cal_status set_squared_error();
  nvfp4cal_status set_absolute_error();
  nvfp4cal_status set_power_error(double power);
  nvfp4cal_status set_error_callback(nvfp4cal_error_callback callback, int32_t values, void *user);
  nvfp4cal_status candidates(nvfp4cal_tensor *out);
  nvfp4cal_status collect(const nvfp4cal_tensor *x, nvfp4cal_stream stream);
  nvfp4cal_status compute_amax(nvfp4cal_tensor *out);
  nvfp4cal_status compute_multipliers(nvfp4cal_tensor *out);
  nvfp4cal_status losses(nvfp4cal_tensor *out);
  nvfp4cal_status merge(const nvfp4cal_mse *other);
  nvfp4cal_status export_state(nvfp4cal_tensor *out);
  nvfp4cal_status import_state(const nvfp4cal_tensor *state);
  nvfp4cal_status state_tensor(int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
  nvfp4cal_status reset();
  const char *last_error();
}

NVFP4CAL_HANDLE(nvfp4cal_checkpoint)
%extend nvfp4cal_checkpoint {
  nvfp4cal_status set_context(const nvfp4cal_context *context);
  nvfp4cal_status set_method(int32_t method);
  nvfp4cal_status set_format(int32_t format);
  nvfp4cal_status add_include(const char *pattern);
  nvfp4cal_status add_exclude(const char *pattern);
  nvfp4cal_status add_fuse_group(const char *pattern);
  nvfp4cal_status set_input_scale(float scale);
  nvfp4cal_status set_input_scales_file(const char *path);
  nvfp4cal_status set_hessians(const char *folder);
  nvfp4cal_status set_effort(int32_t effort);
  nvfp4cal_status set_damping(double fraction);
  nvfp4cal_status set_dry_run(int32_t enable);
  nvfp4cal_status set_measure_error(int32_t enable);
  nvfp4cal_status set_detail(int32_t enable);
  nvfp4cal_status set_progress(nvfp4cal_progress callback, void *user);
  nvfp4cal_status run(const char *input, const char *output);
  nvfp4cal_status inspect(const char *folder);
  nvfp4cal_status verify(const char *original, const char *quantized);
  nvfp4cal_status convert(const char *input, const char *output);
  nvfp4cal_status cancel();
  nvfp4cal_status report(const char **out_json);
  nvfp4cal_status reset();
  const char *last_error();
}

NVFP4CAL_HANDLE(nvfp4cal_context)
%extend nvfp4cal_context {
  nvfp4cal_status set_threads(int32_t threads);
  nvfp4cal_status set_runner(nvfp4cal_runner runner, void *user);
  nvfp4cal_status set_cpu_target(const char *name);
  nvfp4cal_status set_device_allocator(nvfp4cal_device_allocate allocate, nvfp4cal_device_free release, void *user);
  nvfp4cal_status set_device_status(const nvfp4cal_tensor *status);
  nvfp4cal_status check_device_status(nvfp4cal_stream stream);
  /* Null asks for the default context, so the context is a parameter. */
  static nvfp4cal_status threads(const nvfp4cal_context *context, int32_t *out);
  const char *last_error();
}

%clearnodefaultctor;
%clearnodefaultdtor;
