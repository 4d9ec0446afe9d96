/* Null pointers to every function: a status and a message, never a crash. */
#include <nvfp4cal.h>
#include <string.h>

#include "check.h"
#include "views.h"

/* A refusal has one line of text. */
static void check_refused(nvfp4cal_status status, int line) {
  const char *text = nvfp4cal_last_error();
  if (status != NVFP4CAL_ERROR_INVALID_ARGUMENT || !*text || strchr(text, '\n')) {
    ++failures_of_case;
    printf("%s:%d: status %d, text '%s'\n", __FILE__, line, (int)status, text);
  }
}
#define REFUSED(call) check_refused((call), __LINE__)

static void null_in_one_call_functions(void) {
  nvfp4cal_tensor x = matrix(values, NVFP4CAL_DTYPE_F32, ROWS, COLS), packed = matrix(packed_data, NVFP4CAL_DTYPE_U8, ROWS, COLS / 2);
  nvfp4cal_tensor scales = matrix(scale_data, NVFP4CAL_DTYPE_E4M3, ROWS, BLOCKS), global = scalar(&global_data);
  fill();
  REFUSED(nvfp4cal_scale_candidates(NULL, 0, NULL));
  REFUSED(nvfp4cal_scale_sweep(NULL, NULL, NULL, NULL, &x, NULL));
  REFUSED(nvfp4cal_scale_sweep(NULL, &x, NULL, NULL, NULL, NULL));
  REFUSED(nvfp4cal_quantize(NULL, NULL, NULL, NULL, NULL, &packed, &scales, NULL, NULL));
  REFUSED(nvfp4cal_quantize(NULL, &x, NULL, NULL, NULL, NULL, &scales, NULL, NULL));
  REFUSED(nvfp4cal_quantize(NULL, &x, NULL, NULL, NULL, &packed, NULL, NULL, NULL));
  REFUSED(nvfp4cal_dequantize(NULL, NULL, &scales, &global, 0, &x, NULL));
  REFUSED(nvfp4cal_dequantize(NULL, &packed, NULL, &global, 0, &x, NULL));
  REFUSED(nvfp4cal_dequantize(NULL, &packed, &scales, NULL, 0, &x, NULL));
  REFUSED(nvfp4cal_dequantize(NULL, &packed, &scales, &global, 0, NULL, NULL));
  REFUSED(nvfp4cal_fake_quantize(NULL, NULL, NULL, NULL, NULL, &x, NULL));
  REFUSED(nvfp4cal_fake_quantize(NULL, &x, NULL, NULL, NULL, NULL, NULL));
  REFUSED(nvfp4cal_swizzle_scales(NULL, NULL, &scales, NULL));
  REFUSED(nvfp4cal_swizzle_scales(NULL, &scales, NULL, NULL));
  REFUSED(nvfp4cal_unswizzle_scales(NULL, NULL, &scales, NULL));
  REFUSED(nvfp4cal_unswizzle_scales(NULL, &scales, NULL, NULL));
}

static void null_in_block(void) {
  nvfp4cal_tensor x = matrix(values, NVFP4CAL_DTYPE_F32, ROWS * 2, 16), scale = scalar(&global_data), none = {.struct_size = sizeof none};
  nvfp4cal_tensor scales = none, quants = none;
  OFFSET_IS(nvfp4cal_block_options, struct_size, 0);
  OFFSET_IS(nvfp4cal_block_options, flags, 4);
  OFFSET_IS(nvfp4cal_block_options, n_outer, 8);
  OFFSET_IS(nvfp4cal_block_options, n_inner, 12);
  CHECK(sizeof(nvfp4cal_block_options) == 16);
  fill();
  global_data = 1.0f;
  REFUSED(nvfp4cal_block_scale_table(NULL, NULL));
  CHECK(nvfp4cal_block_codebook(NULL, NULL, NULL) == NVFP4CAL_OK);
  REFUSED(nvfp4cal_block_quantize(NULL, NULL, &scale, -1, &quants, NULL));
  REFUSED(nvfp4cal_block_quantize(NULL, &x, NULL, -1, &quants, NULL));
  REFUSED(nvfp4cal_block_quantize(NULL, &x, &scale, -1, NULL, NULL));
  REFUSED(nvfp4cal_block_dequantize(NULL, NULL, &scale, -1, &quants, NULL));
  REFUSED(nvfp4cal_block_dequantize(NULL, &x, NULL, -1, &quants, NULL));
  REFUSED(nvfp4cal_block_dequantize(NULL, &x, &scale, -1, NULL, NULL));
  REFUSED(nvfp4cal_block_sse(NULL, NULL, &scale, -1, &quants, NULL));
  REFUSED(nvfp4cal_block_sse(NULL, &x, NULL, -1, &quants, NULL));
  REFUSED(nvfp4cal_block_sse(NULL, &x, &scale, -1, NULL, NULL));
  REFUSED(nvfp4cal_block_naive(NULL, NULL, -1, &scales, &quants, NULL, NULL));
  REFUSED(nvfp4cal_block_naive(NULL, &x, -1, NULL, &quants, NULL, NULL));
  REFUSED(nvfp4cal_block_naive(NULL, &x, -1, &scales, NULL, NULL, NULL));
  REFUSED(nvfp4cal_block_optimal(NULL, NULL, -1, NULL, &scales, &quants, NULL, NULL));
  REFUSED(nvfp4cal_block_optimal_hessian(NULL, NULL, -1, NULL, NULL, NULL, &scales, &quants, NULL, NULL));
  REFUSED(nvfp4cal_block_admm(NULL, NULL, -1, NULL, NULL, NULL, &scales, &quants, NULL, NULL));
  CHECK(nvfp4cal_block_optimal(NULL, &x, -1, NULL, &scales, &quants, NULL, NULL) == NVFP4CAL_OK);
  CHECK(scales.ndim == 1 && scales.shape[0] == ROWS * 2 && quants.ndim == 2 && quants.shape[1] == 16);
}

static void null_in_max(void) {
  nvfp4cal_max *handle = NULL;
  nvfp4cal_tensor view = scalar(&global_data);
  int32_t reduce;
  REFUSED(nvfp4cal_max_create(NULL));
  REFUSED(nvfp4cal_max_set_context(NULL, NULL));
  REFUSED(nvfp4cal_max_set_axes(NULL, NULL, 0));
  REFUSED(nvfp4cal_max_set_block_size(NULL, 16));
  REFUSED(nvfp4cal_max_collect(NULL, &view, NULL));
  REFUSED(nvfp4cal_max_compute_amax(NULL, &view));
  REFUSED(nvfp4cal_max_merge(NULL, NULL));
  REFUSED(nvfp4cal_max_export_state(NULL, &view));
  REFUSED(nvfp4cal_max_import_state(NULL, &view));
  REFUSED(nvfp4cal_max_state_tensor(NULL, 0, &view, &reduce));
  REFUSED(nvfp4cal_max_reset(NULL));
  CHECK(nvfp4cal_max_last_error(NULL) != NULL);
  nvfp4cal_max_destroy(NULL);
  CHECK(nvfp4cal_max_create(&handle) == NVFP4CAL_OK && handle);
  REFUSED(nvfp4cal_max_set_axes(handle, NULL, 1));
  REFUSED(nvfp4cal_max_collect(handle, NULL, NULL));
  CHECK(*nvfp4cal_max_last_error(handle) != '\0');
  REFUSED(nvfp4cal_max_merge(handle, NULL));
  REFUSED(nvfp4cal_max_export_state(handle, NULL));
  REFUSED(nvfp4cal_max_import_state(handle, NULL));
  CHECK(nvfp4cal_max_compute_amax(handle, &view) == NVFP4CAL_ERROR_NO_DATA);
  nvfp4cal_max_destroy(handle);
}

static void null_in_sweep(void) {
  nvfp4cal_sweep *handle = NULL;
  nvfp4cal_tensor view = scalar(&global_data);
  REFUSED(nvfp4cal_sweep_create(NULL));
  REFUSED(nvfp4cal_sweep_set_context(NULL, NULL));
  REFUSED(nvfp4cal_sweep_set_block_size(NULL, 16));
  REFUSED(nvfp4cal_sweep_set_normalization(NULL, 448));
  REFUSED(nvfp4cal_sweep_set_global_amax(NULL, &view));
  REFUSED(nvfp4cal_sweep_set_global_amax_from(NULL, NULL));
  REFUSED(nvfp4cal_sweep_set_weights(NULL, NULL));
  REFUSED(nvfp4cal_sweep_set_code_window(NULL, -1, 1));
  REFUSED(nvfp4cal_sweep_set_initial_amax(NULL, &view));
  REFUSED(nvfp4cal_sweep_initial_amax(NULL, &view));
  REFUSED(nvfp4cal_sweep_set_quantize_callback(NULL, NULL, NULL));
  REFUSED(nvfp4cal_sweep_set_error_callback(NULL, NULL, 0, NULL));
  REFUSED(nvfp4cal_sweep_collect(NULL, &view, NULL));
  REFUSED(nvfp4cal_sweep_compute_amax(NULL, &view));
  REFUSED(nvfp4cal_sweep_compute_codes(NULL, &view));
  REFUSED(nvfp4cal_sweep_export_state(NULL, &view));
  REFUSED(nvfp4cal_sweep_import_state(NULL, &view));
  REFUSED(nvfp4cal_sweep_reset(NULL));
  CHECK(nvfp4cal_sweep_last_error(NULL) != NULL);
  nvfp4cal_sweep_destroy(NULL);
  CHECK(nvfp4cal_sweep_create(&handle) == NVFP4CAL_OK && handle);
  REFUSED(nvfp4cal_sweep_set_global_amax(handle, NULL));
  REFUSED(nvfp4cal_sweep_set_global_amax_from(handle, NULL));
  REFUSED(nvfp4cal_sweep_collect(handle, NULL, NULL));
  REFUSED(nvfp4cal_sweep_import_state(handle, NULL));
  CHECK(nvfp4cal_sweep_set_quantize_callback(handle, NULL, NULL) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_set_error_callback(handle, NULL, NVFP4CAL_ERRORS_ELEMENTS, NULL) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_set_initial_amax(handle, NULL) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_initial_amax(handle, &view) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_sweep_set_initial_amax(handle, &view) == NVFP4CAL_OK);
  REFUSED(nvfp4cal_sweep_initial_amax(handle, NULL));
  CHECK(nvfp4cal_sweep_compute_amax(handle, &view) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_sweep_merge(handle, handle) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(nvfp4cal_sweep_merge(NULL, NULL) != NVFP4CAL_OK);
  nvfp4cal_sweep_destroy(handle);
}

static void null_in_actmax(void) {
  nvfp4cal_actmax *handle = NULL;
  nvfp4cal_actmax_stats stats = {.struct_size = sizeof stats};
  nvfp4cal_tensor view = scalar(&global_data);
  int32_t reduce;
  CHECK(sizeof stats == 56 && offsetof(nvfp4cal_actmax_stats, blocks) == 8 && offsetof(nvfp4cal_actmax_stats, result) == 52);
  REFUSED(nvfp4cal_actmax_create(NULL));
  REFUSED(nvfp4cal_actmax_set_context(NULL, NULL));
  REFUSED(nvfp4cal_actmax_set_rho(NULL, 1));
  REFUSED(nvfp4cal_actmax_set_percentiles(NULL, 1, 99));
  REFUSED(nvfp4cal_actmax_set_margin(NULL, 1));
  REFUSED(nvfp4cal_actmax_set_bins(NULL, 512, -40, 40));
  REFUSED(nvfp4cal_actmax_set_block_size(NULL, 16));
  REFUSED(nvfp4cal_actmax_set_headroom(NULL, 1));
  REFUSED(nvfp4cal_actmax_collect(NULL, &view, NULL));
  REFUSED(nvfp4cal_actmax_compute_amax(NULL, &view));
  REFUSED(nvfp4cal_actmax_compute_stats(NULL, &stats));
  REFUSED(nvfp4cal_actmax_merge(NULL, NULL));
  REFUSED(nvfp4cal_actmax_export_state(NULL, &view));
  REFUSED(nvfp4cal_actmax_import_state(NULL, &view));
  REFUSED(nvfp4cal_actmax_state_tensor(NULL, 0, &view, &reduce));
  REFUSED(nvfp4cal_actmax_reset(NULL));
  CHECK(nvfp4cal_actmax_last_error(NULL) != NULL);
  nvfp4cal_actmax_destroy(NULL);
  CHECK(nvfp4cal_actmax_create(&handle) == NVFP4CAL_OK && handle);
  REFUSED(nvfp4cal_actmax_collect(handle, NULL, NULL));
  REFUSED(nvfp4cal_actmax_compute_stats(handle, NULL));
  REFUSED(nvfp4cal_actmax_merge(handle, NULL));
  REFUSED(nvfp4cal_actmax_export_state(handle, NULL));
  REFUSED(nvfp4cal_actmax_import_state(handle, NULL));
  REFUSED(nvfp4cal_actmax_state_tensor(handle, 0, NULL, &reduce));
  REFUSED(nvfp4cal_actmax_state_tensor(handle, 0, &view, NULL));
  CHECK(nvfp4cal_actmax_compute_amax(handle, &view) == NVFP4CAL_ERROR_NO_DATA);
  nvfp4cal_actmax_destroy(handle);
}

static void null_in_hessian(void) {
  nvfp4cal_tensor x = matrix(values, NVFP4CAL_DTYPE_F32, ROWS, COLS), bytes = matrix(packed_data, NVFP4CAL_DTYPE_U8, 1, 64);
  nvfp4cal_hessian *handle = NULL;
  int64_t rows = 0;
  int32_t reduce = 0;
  REFUSED(nvfp4cal_scale_sweep_hessian(NULL, NULL, NULL, &x, NULL, &x, NULL));
  REFUSED(nvfp4cal_scale_sweep_hessian(NULL, &x, NULL, NULL, NULL, &x, NULL));
  REFUSED(nvfp4cal_scale_sweep_hessian(NULL, &x, NULL, &x, NULL, NULL, NULL));
  REFUSED(nvfp4cal_sweep_set_hessian(NULL, NULL));
  REFUSED(nvfp4cal_hessian_create(NULL));
  CHECK(nvfp4cal_hessian_create(&handle) == NVFP4CAL_OK && handle != NULL);
  REFUSED(nvfp4cal_hessian_set_context(NULL, NULL));
  REFUSED(nvfp4cal_hessian_set_layout(NULL, 0));
  REFUSED(nvfp4cal_hessian_set_block_size(NULL, 16));
  REFUSED(nvfp4cal_hessian_set_normalize(NULL, 0));
  REFUSED(nvfp4cal_hessian_set_damping(NULL, 0.0));
  REFUSED(nvfp4cal_hessian_collect(NULL, &x, NULL));
  REFUSED(nvfp4cal_hessian_collect(handle, NULL, NULL));
  REFUSED(nvfp4cal_hessian_rows(NULL, &rows));
  REFUSED(nvfp4cal_hessian_rows(handle, NULL));
  REFUSED(nvfp4cal_hessian_merge(NULL, handle));
  REFUSED(nvfp4cal_hessian_merge(handle, NULL));
  REFUSED(nvfp4cal_hessian_export_state(NULL, &bytes));
  REFUSED(nvfp4cal_hessian_export_state(handle, NULL));
  REFUSED(nvfp4cal_hessian_import_state(NULL, &bytes));
  REFUSED(nvfp4cal_hessian_import_state(handle, NULL));
  fill();
  CHECK(nvfp4cal_hessian_collect(handle, &x, NULL) == NVFP4CAL_OK);
  REFUSED(nvfp4cal_hessian_compute_hessian(NULL, &x));
  REFUSED(nvfp4cal_hessian_compute_hessian(handle, NULL));
  REFUSED(nvfp4cal_hessian_state_tensor(NULL, 0, &x, &reduce));
  REFUSED(nvfp4cal_hessian_state_tensor(handle, 0, NULL, &reduce));
  REFUSED(nvfp4cal_hessian_state_tensor(handle, 0, &x, NULL));
  REFUSED(nvfp4cal_hessian_reset(NULL));
  CHECK(nvfp4cal_hessian_last_error(NULL)[0] == '\0' && nvfp4cal_hessian_last_error(handle)[0] != '\0');
  nvfp4cal_hessian_destroy(handle);
  nvfp4cal_hessian_destroy(NULL);
}

static void null_in_gptq(void) {
  static float zeros[16 * 16];
  nvfp4cal_tensor x = matrix(zeros, NVFP4CAL_DTYPE_F32, 16, 16), out = {.struct_size = sizeof out};
  nvfp4cal_gptq_objectives objectives = {.struct_size = sizeof objectives};
  nvfp4cal_gptq *handle = NULL;
  CHECK(sizeof objectives == 40 && offsetof(nvfp4cal_gptq_objectives, nearest) == 8 &&
        offsetof(nvfp4cal_gptq_objectives, neighbourhood) == 32);
  REFUSED(nvfp4cal_gptq_create(NULL));
  CHECK(nvfp4cal_gptq_create(&handle) == NVFP4CAL_OK && handle != NULL);
  REFUSED(nvfp4cal_gptq_set_context(NULL, NULL));
  REFUSED(nvfp4cal_gptq_set_damping(NULL, 0.0));
  REFUSED(nvfp4cal_gptq_set_effort(NULL, 0));
  REFUSED(nvfp4cal_gptq_set_measure_objectives(NULL, 0));
  REFUSED(nvfp4cal_gptq_set_hessian(NULL, NULL, NULL));
  REFUSED(nvfp4cal_gptq_set_hessian(handle, NULL, NULL));
  REFUSED(nvfp4cal_gptq_set_hessian_tensor(NULL, &x, NULL));
  REFUSED(nvfp4cal_gptq_set_hessian_tensor(handle, NULL, NULL));
  REFUSED(nvfp4cal_gptq_compute_objectives(NULL, &objectives));
  REFUSED(nvfp4cal_gptq_compute_objectives(handle, NULL));
  CHECK(nvfp4cal_gptq_set_hessian_tensor(handle, &x, NULL) == NVFP4CAL_OK);
  REFUSED(nvfp4cal_gptq_quantize(NULL, &x, NULL, &out, &out, NULL, NULL, NULL, NULL));
  REFUSED(nvfp4cal_gptq_quantize(handle, NULL, NULL, &out, &out, NULL, NULL, NULL, NULL));
  REFUSED(nvfp4cal_gptq_quantize(handle, &x, NULL, NULL, &out, NULL, NULL, NULL, NULL));
  REFUSED(nvfp4cal_gptq_quantize(handle, &x, NULL, &out, NULL, NULL, NULL, NULL, NULL));
  REFUSED(nvfp4cal_gptq_reset(NULL));
  CHECK(nvfp4cal_gptq_last_error(NULL)[0] == '\0' && nvfp4cal_gptq_last_error(handle)[0] != '\0');
  nvfp4cal_gptq_destroy(handle);
  nvfp4cal_gptq_destroy(NULL);
}

static void null_in_observer(void) {
  nvfp4cal_observer *handle = NULL, *none[1] = {NULL};
  int32_t reduce;
  nvfp4cal_tensor view = scalar(&global_data), other = scalar(&global_data);
  REFUSED(nvfp4cal_observer_create(NULL));
  REFUSED(nvfp4cal_observer_set_context(NULL, NULL));
  REFUSED(nvfp4cal_observer_set_kind(NULL, 0));
  REFUSED(nvfp4cal_observer_set_observed(NULL, 0));
  REFUSED(nvfp4cal_observer_set_format(NULL, 0));
  REFUSED(nvfp4cal_observer_set_symmetric(NULL, 1));
  REFUSED(nvfp4cal_observer_set_strategy(NULL, 0));
  REFUSED(nvfp4cal_observer_set_group_size(NULL, 16));
  REFUSED(nvfp4cal_observer_set_block_structure(NULL, 1, 1));
  REFUSED(nvfp4cal_observer_set_g_idx(NULL, NULL, 0));
  REFUSED(nvfp4cal_observer_set_maxshrink(NULL, 0.2));
  REFUSED(nvfp4cal_observer_set_patience(NULL, 5));
  REFUSED(nvfp4cal_observer_set_grid(NULL, 100));
  REFUSED(nvfp4cal_observer_set_norm(NULL, 2.4));
  REFUSED(nvfp4cal_observer_set_expand(NULL, 1));
  REFUSED(nvfp4cal_observer_set_averaging_constant(NULL, 0.01));
  REFUSED(nvfp4cal_observer_set_global_scale(NULL, 1));
  REFUSED(nvfp4cal_observer_set_optimize_global_scale(NULL, 1));
  REFUSED(nvfp4cal_observer_collect(NULL, &view, NULL));
  REFUSED(nvfp4cal_observer_compute_range(NULL, &view, &other));
  REFUSED(nvfp4cal_observer_compute_scale(NULL, &view, NULL));
  REFUSED(nvfp4cal_observer_compute_global_scale(NULL, &view));
  REFUSED(nvfp4cal_observer_compute_global_range(NULL, &view, &other));
  REFUSED(nvfp4cal_observer_fuse(NULL, 1));
  REFUSED(nvfp4cal_observer_fuse(none, 1));
  REFUSED(nvfp4cal_observer_merge(NULL, NULL));
  REFUSED(nvfp4cal_observer_export_state(NULL, &view));
  REFUSED(nvfp4cal_observer_import_state(NULL, &view));
  REFUSED(nvfp4cal_observer_state_tensor(NULL, 0, &view, &reduce));
  REFUSED(nvfp4cal_observer_reset(NULL));
  CHECK(nvfp4cal_observer_last_error(NULL) != NULL);
  nvfp4cal_observer_destroy(NULL);
  CHECK(nvfp4cal_observer_create(&handle) == NVFP4CAL_OK && handle);
  REFUSED(nvfp4cal_observer_collect(handle, NULL, NULL));
  REFUSED(nvfp4cal_observer_merge(handle, NULL));
  REFUSED(nvfp4cal_observer_import_state(handle, NULL));
  CHECK(nvfp4cal_observer_compute_range(handle, &view, &other) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_observer_collect(handle, &view, NULL) == NVFP4CAL_OK);
  REFUSED(nvfp4cal_observer_compute_range(handle, NULL, &other));
  REFUSED(nvfp4cal_observer_compute_range(handle, &view, NULL));
  REFUSED(nvfp4cal_observer_compute_scale(handle, NULL, NULL));
  REFUSED(nvfp4cal_observer_state_tensor(handle, 0, NULL, &reduce));
  REFUSED(nvfp4cal_observer_state_tensor(handle, 0, &view, NULL));
  nvfp4cal_observer_destroy(handle);
}

static int32_t unused_callback(void *user, const nvfp4cal_tensor *a, const nvfp4cal_tensor *b, nvfp4cal_tensor *out) {
  (void)user, (void)a, (void)b, (void)out;
  return 1;
}

static void null_in_mse(void) {
  nvfp4cal_mse *handle = NULL;
  nvfp4cal_tensor view = scalar(&global_data);
  int32_t reduce;
  REFUSED(nvfp4cal_mse_create(NULL));
  REFUSED(nvfp4cal_mse_set_context(NULL, NULL));
  REFUSED(nvfp4cal_mse_set_initial_amax(NULL, &view));
  REFUSED(nvfp4cal_mse_set_axes(NULL, NULL, 0));
  REFUSED(nvfp4cal_mse_set_multipliers(NULL, 1, 2, 1));
  REFUSED(nvfp4cal_mse_set_int_quantizer(NULL, 8, 0));
  REFUSED(nvfp4cal_mse_set_float_quantizer(NULL, 0));
  REFUSED(nvfp4cal_mse_set_nvfp4_quantizer(NULL, 1));
  REFUSED(nvfp4cal_mse_set_quantize_callback(NULL, unused_callback, NULL));
  REFUSED(nvfp4cal_mse_set_squared_error(NULL));
  REFUSED(nvfp4cal_mse_set_absolute_error(NULL));
  REFUSED(nvfp4cal_mse_set_power_error(NULL, 2));
  REFUSED(nvfp4cal_mse_set_error_callback(NULL, unused_callback, 0, NULL));
  REFUSED(nvfp4cal_mse_candidates(NULL, &view));
  REFUSED(nvfp4cal_mse_collect(NULL, &view, NULL));
  REFUSED(nvfp4cal_mse_compute_amax(NULL, &view));
  REFUSED(nvfp4cal_mse_compute_multipliers(NULL, &view));
  REFUSED(nvfp4cal_mse_losses(NULL, &view));
  REFUSED(nvfp4cal_mse_merge(NULL, NULL));
  REFUSED(nvfp4cal_mse_export_state(NULL, &view));
  REFUSED(nvfp4cal_mse_import_state(NULL, &view));
  REFUSED(nvfp4cal_mse_state_tensor(NULL, 0, &view, &reduce));
  REFUSED(nvfp4cal_mse_reset(NULL));
  CHECK(nvfp4cal_mse_last_error(NULL) != NULL);
  nvfp4cal_mse_destroy(NULL);
  CHECK(nvfp4cal_mse_create(&handle) == NVFP4CAL_OK && handle);
  REFUSED(nvfp4cal_mse_set_initial_amax(handle, NULL));
  REFUSED(nvfp4cal_mse_set_axes(handle, NULL, 1));
  REFUSED(nvfp4cal_mse_set_quantize_callback(handle, NULL, NULL));
  REFUSED(nvfp4cal_mse_set_error_callback(handle, NULL, 0, NULL));
  REFUSED(nvfp4cal_mse_candidates(handle, NULL));
  REFUSED(nvfp4cal_mse_collect(handle, NULL, NULL));
  REFUSED(nvfp4cal_mse_merge(handle, NULL));
  REFUSED(nvfp4cal_mse_export_state(handle, NULL));
  REFUSED(nvfp4cal_mse_import_state(handle, NULL));
  REFUSED(nvfp4cal_mse_state_tensor(handle, 0, NULL, &reduce));
  REFUSED(nvfp4cal_mse_state_tensor(handle, 0, &view, NULL));
  CHECK(nvfp4cal_mse_compute_amax(handle, &view) == NVFP4CAL_ERROR_NO_DATA);
  nvfp4cal_mse_destroy(handle);
}

static void null_in_checkpoint(void) {
  nvfp4cal_checkpoint *handle = NULL;
  const char *json = NULL;
  REFUSED(nvfp4cal_checkpoint_create(NULL));
  REFUSED(nvfp4cal_checkpoint_set_context(NULL, NULL));
  REFUSED(nvfp4cal_checkpoint_set_method(NULL, NVFP4CAL_METHOD_MAX));
  REFUSED(nvfp4cal_checkpoint_set_format(NULL, 0));
  REFUSED(nvfp4cal_checkpoint_add_include(NULL, "a"));
  REFUSED(nvfp4cal_checkpoint_add_exclude(NULL, "a"));
  REFUSED(nvfp4cal_checkpoint_add_fuse_group(NULL, "a"));
  REFUSED(nvfp4cal_checkpoint_set_input_scale(NULL, 1.0f));
  REFUSED(nvfp4cal_checkpoint_set_input_scales_file(NULL, "a"));
  REFUSED(nvfp4cal_checkpoint_set_hessians(NULL, "a"));
  REFUSED(nvfp4cal_checkpoint_set_effort(NULL, 1));
  REFUSED(nvfp4cal_checkpoint_set_damping(NULL, 0.02));
  REFUSED(nvfp4cal_checkpoint_set_dry_run(NULL, 1));
  REFUSED(nvfp4cal_checkpoint_set_detail(NULL, 1));
  REFUSED(nvfp4cal_checkpoint_set_measure_error(NULL, 1));
  REFUSED(nvfp4cal_checkpoint_set_progress(NULL, NULL, NULL));
  REFUSED(nvfp4cal_checkpoint_run(NULL, "a", "b"));
  REFUSED(nvfp4cal_checkpoint_inspect(NULL, "a"));
  REFUSED(nvfp4cal_checkpoint_verify(NULL, "a", "b"));
  REFUSED(nvfp4cal_checkpoint_convert(NULL, "a", "b"));
  REFUSED(nvfp4cal_checkpoint_cancel(NULL));
  REFUSED(nvfp4cal_checkpoint_report(NULL, &json));
  REFUSED(nvfp4cal_checkpoint_reset(NULL));
  CHECK(nvfp4cal_checkpoint_last_error(NULL) != NULL);
  nvfp4cal_checkpoint_destroy(NULL);
  CHECK(nvfp4cal_checkpoint_create(&handle) == NVFP4CAL_OK && handle);
  REFUSED(nvfp4cal_checkpoint_convert(handle, NULL, "b"));
  REFUSED(nvfp4cal_checkpoint_inspect(handle, NULL));
  REFUSED(nvfp4cal_checkpoint_verify(handle, NULL, "b"));
  REFUSED(nvfp4cal_checkpoint_verify(handle, "a", NULL));
  REFUSED(nvfp4cal_checkpoint_run(handle, NULL, "b"));
  REFUSED(nvfp4cal_checkpoint_add_include(handle, NULL));
  REFUSED(nvfp4cal_checkpoint_add_exclude(handle, NULL));
  REFUSED(nvfp4cal_checkpoint_add_fuse_group(handle, NULL));
  REFUSED(nvfp4cal_checkpoint_run(handle, "a", NULL));
  REFUSED(nvfp4cal_checkpoint_report(handle, NULL));
  CHECK(nvfp4cal_checkpoint_report(handle, &json) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_checkpoint_cancel(handle) == NVFP4CAL_OK);
  nvfp4cal_checkpoint_destroy(handle);
}

static void null_in_context(void) {
  nvfp4cal_context *handle = NULL;
  int32_t threads = 0;
  REFUSED(nvfp4cal_context_create(NULL));
  REFUSED(nvfp4cal_context_set_threads(NULL, 1));
  REFUSED(nvfp4cal_context_set_runner(NULL, NULL, NULL));
  REFUSED(nvfp4cal_context_set_cpu_target(NULL, NULL));
  CHECK(nvfp4cal_context_last_error(NULL) != NULL);
  nvfp4cal_context_destroy(NULL);
  CHECK(nvfp4cal_context_create(&handle) == NVFP4CAL_OK && handle);
  REFUSED(nvfp4cal_context_threads(handle, NULL));
  CHECK(nvfp4cal_context_set_threads(handle, 3) == NVFP4CAL_OK);
  CHECK(nvfp4cal_context_threads(handle, &threads) == NVFP4CAL_OK && threads == 3);
  nvfp4cal_context_destroy(handle);
}

int main(void) {
  run_case("null in one-call functions", null_in_one_call_functions);
  run_case("null in block", null_in_block);
  run_case("null in max", null_in_max);
  run_case("null in sweep", null_in_sweep);
  run_case("null in actmax", null_in_actmax);
  run_case("null in hessian", null_in_hessian);
  run_case("null in gptq", null_in_gptq);
  run_case("null in observer", null_in_observer);
  run_case("null in mse", null_in_mse);
  run_case("null in checkpoint", null_in_checkpoint);
  run_case("null in context", null_in_context);
  return finish();
}
