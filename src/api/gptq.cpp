#include "calib/gptq.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "api/context.h"
#include "api/hessian.h"
#include "api/state.h"
#include "api/tensors.h"
#include "calib/device_call.h"
#include "calib/host_copy.h"
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

// What a call may be given or not, in host memory or on a device.
struct OptionalView {
  OptionalView(const nvfp4cal_tensor* tensor, const char* name)
      : given(tensor != nullptr), view(tensor ? input_anywhere(tensor, name) : TensorView{}) {}
  const TensorView* get() const { return given ? &view : nullptr; }

  bool given;
  TensorView view;
};

std::vector<int64_t> shape_of(const TensorView& view, int64_t divisor) {
  std::vector<int64_t> shape(view.shape, view.shape + view.ndim);
  shape.back() /= divisor;
  return shape;
}

// In host memory, or beside x on its device: that waits for the stream.
std::vector<float> read_amax(const nvfp4cal_tensor* tensor, const TensorView& x, const Execution& execution, nvfp4cal_stream stream) {
  if (!tensor) return {};
  const TensorView view = input_anywhere(tensor, "global_amax");
  if (view.on_device()) calib::check_device_floats(view, x, "global_amax");
  const calib::HostCopy copy(view, "global_amax", calib::kGptq, execution, stream);
  return calib::read_global_amax(copy.view());
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
  return handle_barrier(handle,
                        [&] { handle->quantizer.set_hessian(input_anywhere(hessian, "hessian"), OptionalView(cross, "cross").get()); });
}

nvfp4cal_status nvfp4cal_gptq_quantize(nvfp4cal_gptq* handle, const nvfp4cal_tensor* x, const nvfp4cal_tensor* global_amax,
                                       nvfp4cal_tensor* packed, nvfp4cal_tensor* scales, nvfp4cal_tensor* global_scale,
                                       nvfp4cal_tensor* used_amax, nvfp4cal_tensor* dequantized, nvfp4cal_stream stream) {
  return handle_barrier(handle, [&] {
    const TensorView view = input_anywhere(x, "x");
    const int64_t slices = handle->quantizer.slices(view);
    const std::vector<int64_t> slices_shape = view.ndim == 3 ? std::vector<int64_t>{slices} : std::vector<int64_t>{};
    std::vector<Output> wanted = {{packed, {Dtype::kU8, shape_of(view, 2)}, "packed", &view},
                                  {scales, {Dtype::kE4m3, shape_of(view, 16), Dtype::kU8}, "scales", &view}};
    const TensorView* const beside = view.on_device() ? &view : nullptr;
    if (global_scale) wanted.push_back({global_scale, {Dtype::kF32, slices_shape}, "global_scale", beside});
    if (used_amax) wanted.push_back({used_amax, {Dtype::kF32, slices_shape}, "used_amax", beside});
    if (dequantized) wanted.push_back({dequantized, {decoded_dtype(dequantized), shape_of(view, 1)}, "dequantized", beside, true});
    if (answer_queries(wanted)) return;
    const TensorView decoded = dequantized ? output(dequantized) : TensorView{};
    calib::GptqOutputs outputs;
    outputs.packed = static_cast<uint8_t*>(packed->data);
    outputs.scales = static_cast<uint8_t*>(scales->data);
    outputs.decoded = dequantized ? &decoded : nullptr;
    const std::vector<float> given = read_amax(global_amax, view, handle->quantizer.execution(), stream);
    if (view.on_device()) {
      outputs.global_scale = global_scale ? static_cast<float*>(global_scale->data) : nullptr;
      outputs.used_amax = used_amax ? static_cast<float*>(used_amax->data) : nullptr;
      return handle->quantizer.quantize(view, given, outputs, stream);
    }
    std::vector<float> global_scales(static_cast<size_t>(slices)), amaxes(global_scales.size());
    outputs.global_scale = global_scales.data();
    outputs.used_amax = amaxes.data();
    handle->quantizer.quantize(view, given, outputs, stream);
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
