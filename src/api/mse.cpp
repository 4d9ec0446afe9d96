#include "calib/mse.h"

#include <cstring>

#include "api/callbacks.h"
#include "api/context.h"
#include "api/state.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

struct nvfp4cal_mse {
  mutable calib::Mse calibrator;
  mutable ErrorText error;
};

static_assert(static_cast<int32_t>(calib::IntRange::kSymmetric) == NVFP4CAL_INT_SYMMETRIC);
static_assert(static_cast<int32_t>(calib::IntRange::kFull) == NVFP4CAL_INT_FULL);
static_assert(static_cast<int32_t>(calib::IntRange::kUnsigned) == NVFP4CAL_INT_UNSIGNED);
static_assert(static_cast<int32_t>(calib::FloatFormat::kE4m3) == NVFP4CAL_FLOAT_E4M3);
static_assert(static_cast<int32_t>(calib::FloatFormat::kE5m2) == NVFP4CAL_FLOAT_E5M2);
static_assert(static_cast<int32_t>(calib::FloatFormat::kE2m1) == NVFP4CAL_FLOAT_E2M1);

namespace {

void write_floats(const std::vector<float>& values, const std::vector<int64_t>& shape, nvfp4cal_tensor* out) {
  if (answer_query(out, {Dtype::kF32, shape}, "out")) return;
  std::memcpy(out->data, values.data(), values.size() * sizeof(float));
}

}  // namespace

nvfp4cal_status nvfp4cal_mse_create(nvfp4cal_mse** out) { return create(out); }

nvfp4cal_status nvfp4cal_mse_set_context(nvfp4cal_mse* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->calibrator.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_mse_set_initial_amax(nvfp4cal_mse* handle, const nvfp4cal_tensor* amax) {
  return handle_barrier(handle, [&] { handle->calibrator.set_initial_amax(input(amax, "amax")); });
}

nvfp4cal_status nvfp4cal_mse_set_axes(nvfp4cal_mse* handle, const int32_t* axes, int32_t n) {
  return handle_barrier(handle, [&] {
    if (n != 0) require(axes, "axes");
    handle->calibrator.set_axes(axes, n);
  });
}

nvfp4cal_status nvfp4cal_mse_set_multipliers(nvfp4cal_mse* handle, double start, double stop, double step) {
  return handle_barrier(handle, [&] { handle->calibrator.set_multipliers(start, stop, step); });
}

nvfp4cal_status nvfp4cal_mse_set_int_quantizer(nvfp4cal_mse* handle, int32_t bits, int32_t range) {
  return handle_barrier(handle, [&] { handle->calibrator.set_int_quantizer(bits, static_cast<calib::IntRange>(range)); });
}

nvfp4cal_status nvfp4cal_mse_set_float_quantizer(nvfp4cal_mse* handle, int32_t format) {
  return handle_barrier(handle, [&] { handle->calibrator.set_float_quantizer(static_cast<calib::FloatFormat>(format)); });
}

nvfp4cal_status nvfp4cal_mse_set_nvfp4_quantizer(nvfp4cal_mse* handle, float global_amax) {
  return handle_barrier(handle, [&] { handle->calibrator.set_nvfp4_quantizer(global_amax); });
}

nvfp4cal_status nvfp4cal_mse_set_quantize_callback(nvfp4cal_mse* handle, nvfp4cal_quantize_callback callback, void* user) {
  return handle_barrier(handle, [&] {
    if (!callback) fail(Status::kInvalidArgument, "callback is NULL");
    handle->calibrator.set_quantize_function(function_of(callback, user, "quantize"));
  });
}

nvfp4cal_status nvfp4cal_mse_set_squared_error(nvfp4cal_mse* handle) {
  return handle_barrier(handle, [&] { handle->calibrator.set_squared_error(); });
}

nvfp4cal_status nvfp4cal_mse_set_absolute_error(nvfp4cal_mse* handle) {
  return handle_barrier(handle, [&] { handle->calibrator.set_absolute_error(); });
}

nvfp4cal_status nvfp4cal_mse_set_power_error(nvfp4cal_mse* handle, double power) {
  return handle_barrier(handle, [&] { handle->calibrator.set_power_error(power); });
}

nvfp4cal_status nvfp4cal_mse_set_error_callback(nvfp4cal_mse* handle, nvfp4cal_error_callback callback, int32_t values, void* user) {
  return handle_barrier(handle, [&] {
    if (!callback) fail(Status::kInvalidArgument, "callback is NULL");
    handle->calibrator.set_error_function(function_of(callback, user, "error"), static_cast<calib::ErrorValues>(values));
  });
}

nvfp4cal_status nvfp4cal_mse_candidates(const nvfp4cal_mse* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    const std::vector<float> values = handle->calibrator.candidates();
    write_floats(values, {static_cast<int64_t>(values.size())}, out);
  });
}

nvfp4cal_status nvfp4cal_mse_collect(nvfp4cal_mse* handle, const nvfp4cal_tensor* x, nvfp4cal_stream stream) {
  return handle_barrier(handle, [&] {
    const TensorView view = input_anywhere(x, "x");
    if (!is_float_input(view.dtype))
      fail(Status::kUnsupported, "x is %s, expected float32, bfloat16, float16 or float64", dtype_name(view.dtype));
    handle->calibrator.collect(view, stream);
  });
}

nvfp4cal_status nvfp4cal_mse_compute_amax(nvfp4cal_mse* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] { write_floats(settled(handle).amax(), handle->calibrator.amax_shape(), out); });
}

nvfp4cal_status nvfp4cal_mse_compute_multipliers(nvfp4cal_mse* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] { write_floats(settled(handle).multipliers(), handle->calibrator.amax_shape(), out); });
}

nvfp4cal_status nvfp4cal_mse_losses(nvfp4cal_mse* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    const std::vector<double>& losses = settled(handle).losses();
    if (answer_query(out, {Dtype::kF64, handle->calibrator.losses_shape()}, "out")) return;
    std::memcpy(out->data, losses.data(), losses.size() * sizeof(double));
  });
}

nvfp4cal_status nvfp4cal_mse_merge(nvfp4cal_mse* handle, const nvfp4cal_mse* other) {
  return handle_barrier(handle, [&] {
    require(other, "other");
    settled(handle).merge(settled(other));
  });
}

nvfp4cal_status nvfp4cal_mse_export_state(const nvfp4cal_mse* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] { write_state(settled(handle).export_state(), out); });
}

nvfp4cal_status nvfp4cal_mse_import_state(nvfp4cal_mse* handle, const nvfp4cal_tensor* state) {
  return handle_barrier(handle,
                        [&] { read_state(state, [&](const uint8_t* bytes, size_t n) { handle->calibrator.import_state(bytes, n); }); });
}

nvfp4cal_status nvfp4cal_mse_state_tensor(nvfp4cal_mse* handle, int32_t index, nvfp4cal_tensor* view, int32_t* reduce) {
  return handle_barrier(handle, [&] {
    require(view, "view");
    require(reduce, "reduce");
    if (index != 0) fail(Status::kInvalidArgument, "state tensor %d, this calibrator has 1", index);
    std::vector<double>& losses = settled(handle).losses();
    const std::vector<int64_t> shape = handle->calibrator.losses_shape();
    *view = tensor_of(make_view(losses.data(), Dtype::kF64, static_cast<int>(shape.size()), shape.data()));
    *reduce = NVFP4CAL_REDUCE_SUM;
  });
}

nvfp4cal_status nvfp4cal_mse_reset(nvfp4cal_mse* handle) {
  return handle_barrier(handle, [&] { handle->calibrator.reset(); });
}

const char* nvfp4cal_mse_last_error(const nvfp4cal_mse* handle) { return handle ? handle->error.text : ""; }

void nvfp4cal_mse_destroy(nvfp4cal_mse* handle) { delete handle; }
