#include "calib/gptq.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "api/context.h"
#include "api/hessian.h"
#include "api/state.h"
#include "api/tensors.h"
#include "calib/request.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

static_assert(static_cast<int32_t>(GptqEffort::kFast) == NVFP4CAL_GPTQ_FAST);
static_assert(static_cast<int32_t>(GptqEffort::kDefault) == NVFP4CAL_GPTQ_DEFAULT);
static_assert(static_cast<int32_t>(GptqEffort::kMax) == NVFP4CAL_GPTQ_MAX);

struct nvfp4cal_gptq {
  calib::Gptq quantizer;
  mutable ErrorText error;
};

namespace {

// What a call may be given or not.
struct OptionalView {
  OptionalView(const nvfp4cal_tensor* tensor, const char* name)
      : given(tensor != nullptr), view(tensor ? input(tensor, name) : TensorView{}) {}
  const TensorView* get() const { return given ? &view : nullptr; }

  bool given;
  TensorView view;
};

std::vector<int64_t> shape_of(const TensorView& view, int64_t divisor) {
  std::vector<int64_t> shape(view.shape, view.shape + view.ndim);
  shape.back() /= divisor;
  return shape;
}

Dtype decoded_dtype(const nvfp4cal_tensor* out) {
  if (out->dtype == 0 && !out->data) return Dtype::kF32;
  const Dtype dtype = dtype_of(out, "dequantized");
  if (!is_float_input(dtype))
    fail(Status::kUnsupported, "dequantized is %s, expected float32, bfloat16, float16 or float64", dtype_name(dtype));
  return dtype;
}

}  // namespace

nvfp4cal_status nvfp4cal_gptq_create(nvfp4cal_gptq** out) { return create(out); }

nvfp4cal_status nvfp4cal_gptq_set_context(nvfp4cal_gptq* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->quantizer.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_gptq_set_damping(nvfp4cal_gptq* handle, double fraction) {
  return handle_barrier(handle, [&] { handle->quantizer.set_damping(fraction); });
}

nvfp4cal_status nvfp4cal_gptq_set_effort(nvfp4cal_gptq* handle, int32_t effort) {
  return handle_barrier(handle, [&] { handle->quantizer.set_effort(effort); });
}

nvfp4cal_status nvfp4cal_gptq_set_measure_objectives(nvfp4cal_gptq* handle, int32_t enable) {
  return handle_barrier(handle, [&] { handle->quantizer.set_measure(enable); });
}

nvfp4cal_status nvfp4cal_gptq_set_hessian(nvfp4cal_gptq* handle, const nvfp4cal_hessian* hessian, const nvfp4cal_tensor* cross) {
  return handle_barrier(handle, [&] {
    require(hessian, "hessian");
    handle->quantizer.set_hessian(settled(hessian), OptionalView(cross, "cross").get());
  });
}

nvfp4cal_status nvfp4cal_gptq_set_hessian_tensor(nvfp4cal_gptq* handle, const nvfp4cal_tensor* hessian, const nvfp4cal_tensor* cross) {
  return handle_barrier(handle, [&] { handle->quantizer.set_hessian(input(hessian, "hessian"), OptionalView(cross, "cross").get()); });
}

nvfp4cal_status nvfp4cal_gptq_quantize(nvfp4cal_gptq* handle, const nvfp4cal_tensor* x, const nvfp4cal_tensor* global_amax,
                                       nvfp4cal_tensor* packed, nvfp4cal_tensor* scales, nvfp4cal_tensor* global_scale,
                                       nvfp4cal_tensor* used_amax, nvfp4cal_tensor* dequantized, nvfp4cal_stream) {
  return handle_barrier(handle, [&] {
    const TensorView view = input(x, "x");
    const int64_t slices = handle->quantizer.slices(view);
    const std::vector<int64_t> slices_shape = view.ndim == 3 ? std::vector<int64_t>{slices} : std::vector<int64_t>{};
    std::vector<Output> wanted = {{packed, {Dtype::kU8, shape_of(view, 2)}, "packed", &view},
                                  {scales, {Dtype::kE4m3, shape_of(view, 16), Dtype::kU8}, "scales", &view}};
    if (global_scale) wanted.push_back({global_scale, {Dtype::kF32, slices_shape}, "global_scale"});
    if (used_amax) wanted.push_back({used_amax, {Dtype::kF32, slices_shape}, "used_amax"});
    if (dequantized) wanted.push_back({dequantized, {decoded_dtype(dequantized), shape_of(view, 1)}, "dequantized"});
    if (answer_queries(wanted)) return;
    std::vector<float> global_scales(static_cast<size_t>(slices)), amaxes(global_scales.size());
    const TensorView decoded = dequantized ? output(dequantized) : TensorView{};
    calib::GptqOutputs outputs;
    outputs.packed = static_cast<uint8_t*>(packed->data);
    outputs.scales = static_cast<uint8_t*>(scales->data);
    outputs.global_scale = global_scales.data();
    outputs.used_amax = amaxes.data();
    outputs.decoded = dequantized ? &decoded : nullptr;
    handle->quantizer.quantize(view, global_amax ? calib::read_global_amax(input(global_amax, "global_amax")) : std::vector<float>{},
                               outputs);
    const size_t bytes = amaxes.size() * sizeof(float);
    if (global_scale && bytes > 0) std::memcpy(global_scale->data, global_scales.data(), bytes);
    if (used_amax && bytes > 0) std::memcpy(used_amax->data, amaxes.data(), bytes);
  });
}

nvfp4cal_status nvfp4cal_gptq_compute_objectives(nvfp4cal_gptq* handle, nvfp4cal_gptq_objectives* out) {
  return handle_barrier(handle, [&] {
    constexpr size_t kFirstSize = offsetof(nvfp4cal_gptq_objectives, neighbourhood) + sizeof(double);
    require(out, "out");
    if (out->struct_size < kFirstSize)
      fail(Status::kInvalidArgument, "out.struct_size is %u, expected %zu", out->struct_size, sizeof(nvfp4cal_gptq_objectives));
    const GptqObjectives& found = handle->quantizer.objectives();
    const nvfp4cal_gptq_objectives filled = {out->struct_size, 0, found.nearest, found.rounding, found.descent, found.neighbourhood};
    std::memcpy(out, &filled, std::min<size_t>(out->struct_size, sizeof filled));
  });
}

nvfp4cal_status nvfp4cal_gptq_reset(nvfp4cal_gptq* handle) {
  return handle_barrier(handle, [&] { handle->quantizer.reset(); });
}

const char* nvfp4cal_gptq_last_error(const nvfp4cal_gptq* handle) { return handle ? handle->error.text : ""; }

void nvfp4cal_gptq_destroy(nvfp4cal_gptq* handle) { delete handle; }
