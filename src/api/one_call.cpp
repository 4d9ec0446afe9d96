#include "calib/one_call.h"

#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>

#include "api/context.h"
#include "api/tensors.h"
#include "calib/block_hessian.h"
#include "calib/device_call.h"
#include "calib/host_copy.h"
#include "core/backends.h"
#include "num/scale.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

namespace {

constexpr uint32_t kFirstOptionsSize = offsetof(nvfp4cal_options, weights) + sizeof(void*);

struct Options {
  calib::SweepOptions sweep;
  Method method = Method::kMax;
  ScaleLayout layout = ScaleLayout::kLinear;
  std::optional<TensorView> weights;

  const TensorView* weights_or_null() const { return weights ? &*weights : nullptr; }
  Neighbour weights_read() const { return {weights_or_null(), "weights"}; }
};

Options read_options(const nvfp4cal_options* in) {
  Options options;
  if (!in) return options;
  if (in->struct_size < kFirstOptionsSize) {
    fail(Status::kInvalidArgument, "options.struct_size is %u, expected %zu", in->struct_size, sizeof(nvfp4cal_options));
  }
  if (in->flags & ~NVFP4CAL_OPTION_CODE_WINDOW) fail(Status::kInvalidArgument, "options.flags has unknown bits: 0x%x", in->flags);
  if (in->method != NVFP4CAL_METHOD_MAX && in->method != NVFP4CAL_METHOD_MSE)
    fail(Status::kInvalidArgument, "method %d is not known", in->method);
  if (in->scale_layout != NVFP4CAL_SCALES_LINEAR && in->scale_layout != NVFP4CAL_SCALES_SWIZZLED) {
    fail(Status::kInvalidArgument, "scale layout %d is not known", in->scale_layout);
  }
  options.method = static_cast<Method>(in->method);
  options.layout = static_cast<ScaleLayout>(in->scale_layout);
  if (in->block_size != 0) options.sweep.block = in->block_size;
  if (in->normalization != 0) options.sweep.normalization = in->normalization;
  if (in->flags & NVFP4CAL_OPTION_CODE_WINDOW) {
    options.sweep.has_window = true;
    options.sweep.window_lo = in->code_lo;
    options.sweep.window_hi = in->code_hi;
  }
  calib::check_block_size(options.sweep.block);
  calib::check_normalization(options.sweep.normalization);
  if (in->weights) options.weights = input_anywhere(in->weights, "weights");
  return options;
}

// Empty for NULL: to be found from x.
std::vector<float> read_amax(const nvfp4cal_tensor* global_amax) {
  return global_amax ? calib::read_global_amax(input(global_amax, "global_amax")) : std::vector<float>();
}

std::vector<float> read_block_amax(const nvfp4cal_tensor* block_amax, int64_t blocks) {
  if (!block_amax) return {};
  std::vector<float> values = calib::read_float32(input(block_amax, "block_amax"), "block_amax");
  if (static_cast<int64_t>(values.size()) != blocks) {
    fail(Status::kInvalidArgument, "block_amax has %zu elements, expected %lld", values.size(), static_cast<long long>(blocks));
  }
  return values;
}

std::vector<int64_t> shape_of(const TensorView& view) { return {view.shape, view.shape + view.ndim}; }

std::vector<int64_t> packed_shape(const TensorView& x) {
  std::vector<int64_t> shape = shape_of(x);
  shape.back() /= 2;
  return shape;
}

std::vector<int64_t> slices_shape(int64_t global_amaxes) {
  return global_amaxes > 1 ? std::vector<int64_t>{global_amaxes} : std::vector<int64_t>{};
}

std::vector<int64_t> scales_shape(const TensorView& x, const Options& options) {
  const std::vector<int64_t> linear = calib::block_shape(x, options.sweep.block);
  if (options.layout == ScaleLayout::kLinear) return linear;
  return calib::tiles_shape(make_view(nullptr, Dtype::kE4m3, static_cast<int>(linear.size()), linear.data()));
}

// A float output of x's shape; for a query its dtype may be 0.
bool answer_float_query(nvfp4cal_tensor* out, const std::vector<int64_t>& shape, const TensorView& beside, const Neighbour& apart,
                        bool may_be_beside = false) {
  require(out, "out");
  const Dtype dtype = out->dtype == 0 && !out->data ? Dtype::kF32 : dtype_of(out, "out");
  if (!is_float_input(dtype)) fail(Status::kUnsupported, "out is %s, expected float32, bfloat16, float16 or float64", dtype_name(dtype));
  return answer_queries({{out, {dtype, shape}, "out", &beside, may_be_beside, apart}});
}

}  // namespace

nvfp4cal_status nvfp4cal_scale_candidates(const nvfp4cal_context*, int32_t normalization, nvfp4cal_tensor* out) {
  return barrier([&] {
    const int n = normalization == 0 ? 448 : normalization;
    calib::check_normalization(n);
    if (answer_query(out, {Dtype::kF32, {num::kE4m3Count}}, "out")) return;
    float candidates[num::kE4m3Count];
    for (int code = 1; code <= num::kE4m3Count; ++code) candidates[code - 1] = num::candidate(code, static_cast<float>(n));
    std::memcpy(out->data, candidates, sizeof candidates);
  });
}

namespace {

// ---- device tensors ----------------------------------------------------------------------------------------------------

// float32 values in host memory, checked as they are there, or beside x, which the device checks.
struct DeviceInput {
  // Where there may be none, none are as if they were not given.
  DeviceInput(const nvfp4cal_tensor* tensor, const TensorView& x, const char* name, bool may_be_none = false) {
    if (!tensor) return;
    view = input_anywhere(tensor, name);
    if (view.on_device()) {
      calib::check_device_floats(view, x, name);
      floats.device = &view;
    } else {
      floats.host = calib::read_float32(view, name);
    }
    if (floats.count() > 0) return;
    if (!may_be_none) fail(Status::kInvalidArgument, "%s has no elements", name);
    floats.device = nullptr;
  }
  DeviceInput(const DeviceInput&) = delete;

  TensorView view;
  calib::DeviceFloats floats;
};

// What functions of x on a device have in common.
struct DeviceCall {
  DeviceCall(const nvfp4cal_context* context, const TensorView& x, const nvfp4cal_tensor* global_amax, const nvfp4cal_tensor* block_amax,
             nvfp4cal_stream stream)
      : device(one_call_device(x, "x", execution_of(context), stream)),
        amax(global_amax, x, "global_amax"),
        blocks(block_amax, x, "block_amax", x.elements() == 0) {
    calib::check_amaxes(amax.floats.host, "global_amax");
    calib::check_amaxes(blocks.floats.host, "block_amax");
  }
  Device device;
  DeviceInput amax, blocks;
};

std::vector<Output> outputs_of(const TensorView& x, const Options& options, int64_t global_amaxes, nvfp4cal_tensor* packed,
                               nvfp4cal_tensor* scales, nvfp4cal_tensor* global_scale) {
  std::vector<Output> outputs = {
      {packed, {Dtype::kU8, packed_shape(x)}, "packed", &x, false, options.weights_read()},
      {scales, {Dtype::kE4m3, scales_shape(x, options), Dtype::kU8}, "scales", &x, false, options.weights_read()}};
  if (global_scale) outputs.push_back({global_scale, {Dtype::kF32, slices_shape(global_amaxes)}, "global_scale", &x});
  return outputs;
}

}  // namespace

nvfp4cal_status nvfp4cal_scale_sweep(const nvfp4cal_context* context, const nvfp4cal_tensor* x, const nvfp4cal_tensor* global_amax,
                                     const nvfp4cal_options* options_in, nvfp4cal_tensor* out, nvfp4cal_stream stream) {
  return barrier([&] {
    const Execution& execution = execution_of(context);
    const TensorView view = input_anywhere(x, "x");
    const Options options = read_options(options_in);
    calib::check_blocks(view, options.sweep.block);
    if (answer_query(out, {Dtype::kF32, calib::block_shape(view, options.sweep.block)}, "out", &view, options.weights_read())) return;
    if (view.on_device()) {
      const DeviceCall call(context, view, global_amax, nullptr, stream);
      calib::DeviceRequest request(call.device, view, call.amax.floats, options.sweep);
      request.prepare_search(options.weights_or_null());
      return request.sweep(static_cast<float*>(out->data));
    }
    calib::SweepRequest request(execution, view, read_amax(global_amax), options.weights_or_null(), options.sweep);
    const std::unique_ptr<uint8_t[]> codes(new uint8_t[static_cast<size_t>(request.blocks())]);
    request.args.codes = codes.get();
    call(ops_for(view).sweep, execution, request.args);
    calib::amax_of_codes(execution, codes.get(), request.blocks(), request.global_amax(), request.args.normalization, out->data);
  });
}

nvfp4cal_status nvfp4cal_scale_sweep_hessian(const nvfp4cal_context* context, const nvfp4cal_tensor* x, const nvfp4cal_tensor* global_amax,
                                             const nvfp4cal_tensor* hessian, const nvfp4cal_options* options_in, nvfp4cal_tensor* out,
                                             nvfp4cal_stream stream) {
  return barrier([&] {
    const Execution& execution = execution_of(context);
    const TensorView view = input_anywhere(x, "x");
    const TensorView matrices_view = input_anywhere(hessian, "hessian");
    const Options options = read_options(options_in);
    calib::check_blocks(view, options.sweep.block);
    if (answer_query(out, {Dtype::kF32, calib::block_shape(view, options.sweep.block)}, "out", &view)) return;
    if (view.on_device()) {
      const DeviceCall call(context, view, global_amax, nullptr, stream);
      calib::DeviceRequest request(call.device, view, call.amax.floats, options.sweep);
      request.prepare_search(options.weights_or_null());
      matrices_view.on_device() ? request.set_hessian(matrices_view) : request.set_hessian(calib::read_hessian(matrices_view));
      return request.sweep(static_cast<float*>(out->data));
    }
    const calib::HostCopy host_matrices(matrices_view, "hessian", "a search on the host", execution, stream);
    const calib::BlockHessian matrices = calib::read_hessian(host_matrices.view());
    calib::SweepRequest request(execution, view, read_amax(global_amax), options.weights_or_null(), options.sweep);
    std::vector<uint8_t> codes(static_cast<size_t>(request.blocks()));
    calib::sweep_hessian(execution, request, matrices, codes.data());
    calib::amax_of_codes(execution, codes.data(), request.blocks(), request.global_amax(), request.args.normalization, out->data);
  });
}

nvfp4cal_status nvfp4cal_quantize(const nvfp4cal_context* context, const nvfp4cal_tensor* x, const nvfp4cal_tensor* global_amax,
                                  const nvfp4cal_tensor* block_amax, const nvfp4cal_options* options_in, nvfp4cal_tensor* packed,
                                  nvfp4cal_tensor* scales, nvfp4cal_tensor* global_scale, nvfp4cal_stream stream) {
  return barrier([&] {
    const Execution& execution = execution_of(context);
    const TensorView view = input_anywhere(x, "x");
    const Options options = read_options(options_in);
    if (view.ndim == 0) fail(Status::kInvalidArgument, "x is a scalar, expected [..., cols]");
    calib::check_columns(view, options.sweep.block);
    if (view.on_device()) {
      const DeviceCall call(context, view, global_amax, block_amax, stream);
      if (answer_queries(outputs_of(view, options, call.amax.floats.count(), packed, scales, global_scale))) return;
      calib::DeviceRequest request(call.device, view, call.amax.floats, options.sweep);
      if (!call.blocks.floats.given() && options.method == Method::kMse) request.prepare_search(options.weights_or_null());
      return request.quantize(options.method, call.blocks.floats, options.layout,
                              {static_cast<uint8_t*>(packed->data), static_cast<uint8_t*>(scales->data),
                               global_scale ? static_cast<float*>(global_scale->data) : nullptr, nullptr});
    }
    std::vector<float> amax = read_amax(global_amax);
    if (answer_queries(outputs_of(view, options, static_cast<int64_t>(amax.size()), packed, scales, global_scale))) return;
    calib::SweepRequest request(execution, view, std::move(amax), options.weights_or_null(), options.sweep);
    std::vector<float> s2(request.global_amax().size());
    calib::quantize(execution, request, options.method, read_block_amax(block_amax, request.blocks()), options.layout,
                    {static_cast<uint8_t*>(packed->data), static_cast<uint8_t*>(scales->data), s2.data(), nullptr});
    if (global_scale) std::memcpy(global_scale->data, s2.data(), s2.size() * sizeof(float));
  });
}

nvfp4cal_status nvfp4cal_fake_quantize(const nvfp4cal_context* context, const nvfp4cal_tensor* x, const nvfp4cal_tensor* global_amax,
                                       const nvfp4cal_tensor* block_amax, const nvfp4cal_options* options_in, nvfp4cal_tensor* out,
                                       nvfp4cal_stream stream) {
  return barrier([&] {
    const Execution& execution = execution_of(context);
    const TensorView view = input_anywhere(x, "x");
    const Options options = read_options(options_in);
    if (view.ndim == 0) fail(Status::kInvalidArgument, "x is a scalar, expected [..., cols]");
    calib::check_columns(view, options.sweep.block);
    if (answer_float_query(out, shape_of(view), view, options.weights_read(), true)) return;
    if (view.on_device()) {
      const DeviceCall call(context, view, global_amax, block_amax, stream);
      const TensorView decoded = output(out);
      calib::DeviceRequest request(call.device, view, call.amax.floats, options.sweep);
      if (!call.blocks.floats.given() && options.method == Method::kMse) request.prepare_search(options.weights_or_null());
      return request.quantize(options.method, call.blocks.floats, ScaleLayout::kLinear, {nullptr, nullptr, nullptr, &decoded});
    }
    calib::SweepRequest request(execution, view, read_amax(global_amax), options.weights_or_null(), options.sweep);
    const TensorView decoded = output(out);
    calib::quantize(execution, request, options.method, read_block_amax(block_amax, request.blocks()), ScaleLayout::kLinear,
                    {nullptr, nullptr, nullptr, &decoded});
  });
}

nvfp4cal_status nvfp4cal_dequantize(const nvfp4cal_context* context, const nvfp4cal_tensor* packed, const nvfp4cal_tensor* scales,
                                    const nvfp4cal_tensor* global_scale, int32_t order, nvfp4cal_tensor* out, nvfp4cal_stream stream) {
  return barrier([&] {
    const TensorView packed_view = input_anywhere(packed, "packed"), scales_view = input_anywhere(scales, "scales");
    if (!same_place(scales_view, packed_view))
      fail(Status::kUnsupported, "scales lies %s, expected %s", place_text(scales_view).c_str(), place_text(packed_view).c_str());
    const calib::Encoded encoded(packed_view, scales_view);
    if (order != NVFP4CAL_DECODE_MODELOPT && order != NVFP4CAL_DECODE_COMPRESSED_TENSORS) {
      fail(Status::kInvalidArgument, "decode order %d is not known", order);
    }
    if (packed_view.on_device()) {
      const Device device = one_call_device(packed_view, "packed", execution_of(context), stream);
      require(global_scale, "global_scale");
      const DeviceInput given(global_scale, packed_view, "global_scale");
      if (answer_float_query(out, encoded.shape, packed_view, {&scales_view, "scales"})) return;
      return calib::dequantize_on_device(device, encoded, given.floats, static_cast<DecodeOrder>(order), output(out));
    }
    const std::vector<float> global = calib::read_float32(input(global_scale, "global_scale"), "global_scale");
    if (answer_float_query(out, encoded.shape, packed_view, {&scales_view, "scales"})) return;
    calib::dequantize(execution_of(context), encoded, global, static_cast<DecodeOrder>(order), output(out));
  });
}

namespace {

void swizzle(const nvfp4cal_context* context, const TensorView& linear, void* tiles, bool to_tiles, nvfp4cal_stream stream) {
  uint8_t* const bytes = static_cast<uint8_t*>(tiles);
  if (!linear.on_device()) return calib::swizzle(execution_of(context), linear, bytes, to_tiles);
  calib::swizzle_on_device(device_of(linear, "scales", execution_of(context), stream), linear, bytes, to_tiles);
}

}  // namespace

nvfp4cal_status nvfp4cal_swizzle_scales(const nvfp4cal_context* context, const nvfp4cal_tensor* scales, nvfp4cal_tensor* out,
                                        nvfp4cal_stream stream) {
  return barrier([&] {
    const TensorView linear = input_anywhere(scales, "scales");
    if (dtype_size(linear.dtype) != 1) fail(Status::kUnsupported, "scales is %s, expected float8_e4m3 or uint8", dtype_name(linear.dtype));
    if (answer_query(out, {linear.dtype, calib::tiles_shape(linear)}, "out", &linear)) return;
    swizzle(context, linear, out->data, true, stream);
  });
}

nvfp4cal_status nvfp4cal_unswizzle_scales(const nvfp4cal_context* context, const nvfp4cal_tensor* tiles, nvfp4cal_tensor* out,
                                          nvfp4cal_stream stream) {
  return barrier([&] {
    const TensorView from = input_anywhere(tiles, "tiles");
    if (dtype_size(from.dtype) != 1 || !from.contiguous) {
      fail(Status::kUnsupported, "tiles is %s, expected contiguous float8_e4m3 or uint8", dtype_name(from.dtype));
    }
    const TensorView linear = input_anywhere(out, "out");  // its shape is part of the question
    if (answer_query(out, {from.dtype, shape_of(linear)}, "out", &from)) return;
    const std::vector<int64_t> shape = calib::tiles_shape(linear);
    const TensorView want = make_view(nullptr, from.dtype, static_cast<int>(shape.size()), shape.data());
    if (from.elements() != want.elements()) {
      fail(Status::kInvalidArgument, "tiles has %lld bytes, scales of shape %s have %lld", static_cast<long long>(from.elements()),
           linear.shape_text().c_str(), static_cast<long long>(want.elements()));
    }
    swizzle(context, linear, from.data, false, stream);
  });
}
