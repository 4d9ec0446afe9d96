#include "calib/block_device.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "api/context.h"
#include "api/tensors.h"
#include "calib/request.h"
#include "num/e2m1.h"
#include "num/e4m3.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

namespace {

constexpr uint32_t kFirstOptionsSize = offsetof(nvfp4cal_block_options, n_inner) + sizeof(int32_t);
constexpr uint32_t kFlags = NVFP4CAL_BLOCK_SEARCH_NOISE | NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL;
constexpr int32_t kMaxSteps = 1000;

int steps_of(int32_t value, int otherwise, const char* name) {
  if (value < 0 || value > kMaxSteps) fail(Status::kInvalidArgument, "options.%s is %d, expected 0 to %d", name, value, kMaxSteps);
  return value == 0 ? otherwise : value;
}

calib::BlockOptions read_options(const nvfp4cal_block_options* in) {
  calib::BlockOptions options;
  if (!in) return options;
  if (in->struct_size < kFirstOptionsSize) {
    fail(Status::kInvalidArgument, "options.struct_size is %u, expected %zu", in->struct_size, sizeof(nvfp4cal_block_options));
  }
  if (in->flags & ~kFlags) fail(Status::kInvalidArgument, "options.flags has unknown bits: 0x%x", in->flags);
  options.search_noise = (in->flags & NVFP4CAL_BLOCK_SEARCH_NOISE) != 0;
  options.from_optimal = (in->flags & NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL) != 0;
  options.n_outer = steps_of(in->n_outer, options.n_outer, "n_outer");
  options.n_inner = steps_of(in->n_inner, options.n_inner, "n_inner");
  return options;
}

std::vector<int64_t> shape_of(const TensorView& view) { return {view.shape, view.shape + view.ndim}; }

std::vector<float> read_scales(const nvfp4cal_tensor* scales) { return calib::read_float32(input(scales, "scales"), "scales"); }

// Scales in host memory, or beside x on its device.
struct Scales {
  Scales(const nvfp4cal_tensor* scales, const TensorView& x) {
    if (!x.on_device()) {
      floats.host = read_scales(scales);
      return;
    }
    view = input_anywhere(scales, "scales");
    if (!view.on_device()) {
      floats.host = calib::read_float32(view, "scales");
      return;
    }
    calib::check_device_floats(view, x, "scales");
    floats.device = &view;
  }
  Scales(const Scales&) = delete;

  TensorView view;
  calib::DeviceFloats floats;
};

void apply_on_device(const nvfp4cal_context* context, const calib::BlockedTensor& x, const Scales& scales,
                     const calib::BlockResults& results, const char* name, nvfp4cal_stream stream) {
  calib::block_apply_on_device(one_call_device(x.view, name, execution_of(context), stream), x, scales.floats, results, name);
}

struct Outputs {
  nvfp4cal_tensor *scales, *quants, *dequant;
};

// The Hessians of a search, or the activations that make them, in host memory or beside w on its device.
class HessianInput {
 public:
  HessianInput(const nvfp4cal_tensor* hessians, const nvfp4cal_tensor* activations) : hessians_(hessians), activations_(activations) {}

  // Those in host memory are read, and checked.
  calib::BlockHessians read(const Execution& execution, const calib::BlockedTensor& w) const {
    if (hessians_) return calib::given_hessians(w, input(hessians_, "hessians"));
    return calib::hessians_of(execution, w, input(required_activations(), "activations"));
  }
  // The others are checked where they lie. `view` becomes theirs.
  calib::BlockHessianInput place(const Execution& execution, const calib::BlockedTensor& w, TensorView& view) const {
    const char* const name = hessians_ ? "hessians" : "activations";
    view = input_anywhere(hessians_ ? hessians_ : required_activations(), name);
    if (!view.on_device()) return {read(execution, w), nullptr, nullptr};
    if (!same_place(view, w.view))
      fail(Status::kUnsupported, "%s lies %s, expected %s", name, place_text(view).c_str(), place_text(w.view).c_str());
    return hessians_ ? calib::BlockHessianInput{{}, &view, nullptr} : calib::BlockHessianInput{{}, nullptr, &view};
  }

 private:
  const nvfp4cal_tensor* required_activations() const {
    if (!activations_) fail(Status::kInvalidArgument, "hessians and activations are both NULL");
    return activations_;
  }

  const nvfp4cal_tensor *hessians_, *activations_;
};

// What the four searches share. hessians: NULL for those without.
nvfp4cal_status search(const nvfp4cal_context* context, const nvfp4cal_tensor* w, int32_t dim, const nvfp4cal_block_options* options_in,
                       BlockMethod method, const Outputs& out, nvfp4cal_stream stream, const HessianInput* hessians = nullptr) {
  return barrier([&] {
    const calib::BlockedTensor blocked(input_anywhere(w, "w"), dim, "w");
    calib::check_block_extent(blocked);
    const calib::BlockOptions options = read_options(options_in);
    const std::vector<int64_t> shape = shape_of(blocked.view);
    std::vector<Output> outputs = {{out.scales, {Dtype::kF32, blocked.shape}, "scales", &blocked.view},
                                   {out.quants, {Dtype::kF32, shape}, "quants", &blocked.view}};
    if (out.dequant) outputs.push_back({out.dequant, {Dtype::kF32, shape}, "dequant", &blocked.view});
    if (answer_queries(outputs)) return;
    if (blocked.view.on_device()) {
      TensorView view;
      return calib::block_search_on_device(
          one_call_device(blocked.view, "w", execution_of(context), stream), blocked, method,
          hessians ? hessians->place(execution_of(context), blocked, view) : calib::BlockHessianInput(), options,
          {static_cast<float*>(out.scales->data), out.quants->data, out.dequant ? out.dequant->data : nullptr});
    }
    const calib::BlockHessians matrices = hessians ? hessians->read(execution_of(context), blocked) : calib::BlockHessians();
    std::vector<float> scales(static_cast<size_t>(blocked.count()));
    calib::block_search(execution_of(context), blocked, method, matrices.columns > 0 ? &matrices : nullptr, options,
                        {scales.data(), out.quants->data, out.dequant ? out.dequant->data : nullptr});
    if (!scales.empty()) std::memcpy(out.scales->data, scales.data(), scales.size() * sizeof(float));
  });
}

nvfp4cal_status search_hessian(const nvfp4cal_context* context, const nvfp4cal_tensor* w, int32_t dim, const nvfp4cal_tensor* hessians,
                               const nvfp4cal_tensor* activations, const nvfp4cal_block_options* options, BlockMethod method,
                               const Outputs& out, nvfp4cal_stream stream) {
  const HessianInput input(hessians, activations);
  return search(context, w, dim, options, method, out, stream, &input);
}

}  // namespace

nvfp4cal_status nvfp4cal_block_scale_table(const nvfp4cal_context*, nvfp4cal_tensor* out) {
  return barrier([&] {
    if (answer_query(out, {Dtype::kF32, {num::kE4m3Count}}, "out")) return;
    float scales[num::kE4m3Count];
    for (int code = 1; code <= num::kE4m3Count; ++code) scales[code - 1] = num::e4m3_magnitude(code);
    std::memcpy(out->data, scales, sizeof scales);
  });
}

nvfp4cal_status nvfp4cal_block_codebook(const nvfp4cal_context*, nvfp4cal_tensor* codebook, nvfp4cal_tensor* boundaries) {
  return barrier([&] {
    std::vector<Output> outputs;
    if (codebook) outputs.push_back({codebook, {Dtype::kF32, {8}}, "codebook"});
    if (boundaries) outputs.push_back({boundaries, {Dtype::kF32, {7}}, "boundaries"});
    if (answer_queries(outputs)) return;
    float levels[8], middles[7];
    for (int code = 0; code < 8; ++code) levels[code] = num::e2m1_value(static_cast<uint8_t>(code));
    for (int code = 0; code < 7; ++code) middles[code] = (levels[code] + levels[code + 1]) / 2.0f;
    if (codebook) std::memcpy(codebook->data, levels, sizeof levels);
    if (boundaries) std::memcpy(boundaries->data, middles, sizeof middles);
  });
}

nvfp4cal_status nvfp4cal_block_quantize(const nvfp4cal_context* context, const nvfp4cal_tensor* x, const nvfp4cal_tensor* scales,
                                        int32_t dim, nvfp4cal_tensor* out, nvfp4cal_stream stream) {
  return barrier([&] {
    const calib::BlockedTensor blocked(input_anywhere(x, "x"), dim, "x");
    const Scales given(scales, blocked.view);
    if (answer_query(out, {Dtype::kF32, shape_of(blocked.view)}, "out", &blocked.view)) return;
    if (blocked.view.on_device()) return apply_on_device(context, blocked, given, {out->data, nullptr, nullptr, false}, "x", stream);
    calib::block_quantize(execution_of(context), blocked, given.floats.host, out->data);
  });
}

nvfp4cal_status nvfp4cal_block_dequantize(const nvfp4cal_context* context, const nvfp4cal_tensor* quants, const nvfp4cal_tensor* scales,
                                          int32_t dim, nvfp4cal_tensor* out, nvfp4cal_stream stream) {
  return barrier([&] {
    const calib::BlockedTensor blocked(input_anywhere(quants, "quants"), dim, "quants");
    const Scales given(scales, blocked.view);
    if (answer_query(out, {Dtype::kF32, shape_of(blocked.view)}, "out", &blocked.view)) return;
    if (blocked.view.on_device()) return apply_on_device(context, blocked, given, {nullptr, out->data, nullptr, false}, "quants", stream);
    calib::block_dequantize(execution_of(context), blocked, given.floats.host, out->data);
  });
}

nvfp4cal_status nvfp4cal_block_sse(const nvfp4cal_context* context, const nvfp4cal_tensor* x, const nvfp4cal_tensor* scales, int32_t dim,
                                   nvfp4cal_tensor* out, nvfp4cal_stream stream) {
  return barrier([&] {
    const calib::BlockedTensor blocked(input_anywhere(x, "x"), dim, "x");
    const Scales given(scales, blocked.view);
    require(out, "out");
    const bool wide = out->dtype == NVFP4CAL_DTYPE_F64;
    if (answer_query(out, {wide ? Dtype::kF64 : Dtype::kF32, blocked.shape}, "out", &blocked.view)) return;
    if (blocked.view.on_device()) return apply_on_device(context, blocked, given, {nullptr, nullptr, out->data, wide}, "x", stream);
    const std::vector<double> errors = calib::block_sse(execution_of(context), blocked, given.floats.host);
    if (wide) {
      if (!errors.empty()) std::memcpy(out->data, errors.data(), errors.size() * sizeof(double));
      return;
    }
    const std::vector<float> narrow(errors.begin(), errors.end());
    if (!narrow.empty()) std::memcpy(out->data, narrow.data(), narrow.size() * sizeof(float));
  });
}

nvfp4cal_status nvfp4cal_block_naive(const nvfp4cal_context* context, const nvfp4cal_tensor* w, int32_t dim, nvfp4cal_tensor* scales,
                                     nvfp4cal_tensor* quants, nvfp4cal_tensor* dequant, nvfp4cal_stream stream) {
  return search(context, w, dim, nullptr, BlockMethod::kNaive, {scales, quants, dequant}, stream);
}

nvfp4cal_status nvfp4cal_block_optimal(const nvfp4cal_context* context, const nvfp4cal_tensor* w, int32_t dim,
                                       const nvfp4cal_block_options* options, nvfp4cal_tensor* scales, nvfp4cal_tensor* quants,
                                       nvfp4cal_tensor* dequant, nvfp4cal_stream stream) {
  return search(context, w, dim, options, BlockMethod::kOptimal, {scales, quants, dequant}, stream);
}

nvfp4cal_status nvfp4cal_block_optimal_hessian(const nvfp4cal_context* context, const nvfp4cal_tensor* w, int32_t dim,
                                               const nvfp4cal_tensor* hessians, const nvfp4cal_tensor* activations,
                                               const nvfp4cal_block_options* options, nvfp4cal_tensor* scales, nvfp4cal_tensor* quants,
                                               nvfp4cal_tensor* dequant, nvfp4cal_stream stream) {
  return search_hessian(context, w, dim, hessians, activations, options, BlockMethod::kHessian, {scales, quants, dequant}, stream);
}

nvfp4cal_status nvfp4cal_block_admm(const nvfp4cal_context* context, const nvfp4cal_tensor* w, int32_t dim, const nvfp4cal_tensor* hessians,
                                    const nvfp4cal_tensor* activations, const nvfp4cal_block_options* options, nvfp4cal_tensor* scales,
                                    nvfp4cal_tensor* quants, nvfp4cal_tensor* dequant, nvfp4cal_stream stream) {
  return search_hessian(context, w, dim, hessians, activations, options, BlockMethod::kAdmm, {scales, quants, dequant}, stream);
}
