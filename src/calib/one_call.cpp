#include "calib/one_call.h"

#include <cmath>

#include "core/backends.h"
#include "core/scale_tiles.h"
#include "num/scale.h"

namespace nvfp4cal::calib {

namespace {

// s2 of every slice, 1 where G = 0.
std::vector<float> global_scales(const SweepRequest& request) {
  std::vector<float> scales;
  scales.reserve(request.global_amax().size());
  for (size_t s = 0; s < request.global_amax().size(); ++s) {
    const float global_amax = request.global_amax()[s];
    const float scale = global_amax > 0.0f ? num::global_scale(global_amax, request.args.normalization) : 1.0f;
    if (scale == 0.0f) {
      const double value = static_cast<double>(global_amax);
      if (request.amax_was_found()) fail(Status::kInvalidArgument, "the amax of x is %g: its global scale is 0 in float32", value);
      fail(Status::kInvalidArgument, "global_amax[%zu] is %g: its global scale is 0 in float32", s, value);
    }
    scales.push_back(scale);
  }
  return scales;
}

}  // namespace

void quantize(const Execution& execution, SweepRequest& request, Method method, const std::vector<float>& block_amax, ScaleLayout layout,
              const QuantizeOutputs& outputs) {
  check_amaxes(block_amax, "block_amax");
  const std::vector<float> scales = global_scales(request);
  const TensorView& x = *request.args.x;
  std::vector<uint8_t> linear(layout == ScaleLayout::kSwizzled ? static_cast<size_t>(request.blocks()) : 0);
  QuantizeArgs args{};
  args.sweep = request.args;
  args.sweep.codes = layout == ScaleLayout::kSwizzled ? linear.data() : outputs.scales;
  args.method = method;
  args.block_amax = block_amax.empty() ? nullptr : block_amax.data();
  args.known_finite = request.amax_was_found();  // the search for the amax has seen all of x
  args.packed = outputs.packed;
  args.decoded = outputs.decoded;
  call(ops_for(x).quantize, execution, args);
  if (layout == ScaleLayout::kSwizzled) {
    TensorView matrix = make_view(linear.data(), Dtype::kU8, x.ndim, x.shape);
    matrix.shape[x.ndim - 1] /= request.args.block;
    set_contiguous_strides(matrix);
    swizzle(execution, matrix, outputs.scales, true);
  }
  if (outputs.global_scale) std::copy(scales.begin(), scales.end(), outputs.global_scale);
}

Encoded::Encoded(const TensorView& packed_view, const TensorView& scales_view) : packed(packed_view), scales(scales_view) {
  if (packed.dtype != Dtype::kU8) fail(Status::kUnsupported, "packed is %s, expected uint8", dtype_name(packed.dtype));
  if (scales.dtype != Dtype::kE4m3 && scales.dtype != Dtype::kU8) {
    fail(Status::kUnsupported, "scales is %s, expected float8_e4m3 or uint8", dtype_name(scales.dtype));
  }
  bool fits = packed.ndim > 0 && packed.ndim == scales.ndim;
  for (int d = 0; fits && d + 1 < packed.ndim; ++d) fits = packed.shape[d] == scales.shape[d];
  const int64_t cols = packed.last() * 2;
  block = fits && scales.last() * 32 == cols ? 32 : 16;
  if (!fits || scales.last() * block != cols) {
    fail(Status::kInvalidArgument, "packed of shape %s and scales of shape %s do not belong together", packed.shape_text().c_str(),
         scales.shape_text().c_str());
  }
  shape.assign(packed.shape, packed.shape + packed.ndim);
  shape.back() = cols;
}

void dequantize(const Execution& execution, const Encoded& encoded, const std::vector<float>& global_scale, DecodeOrder order,
                const TensorView& out) {
  for (size_t s = 0; s < global_scale.size(); ++s) {
    const double value = static_cast<double>(global_scale[s]);
    if (!std::isfinite(value)) fail(Status::kNotFinite, "global_scale[%zu] is %g", s, value);
    if (value <= 0) fail(Status::kInvalidArgument, "global_scale[%zu] is %g, expected a positive value", s, value);
  }
  const int64_t slices = static_cast<int64_t>(global_scale.size());
  if (slices != 1 && (slices == 0 || encoded.packed.ndim < 2 || encoded.packed.shape[0] != slices)) {
    fail(Status::kInvalidArgument, "global_scale has %lld elements, expected 1 or the first extent of packed, whose shape is %s",
         static_cast<long long>(slices), encoded.packed.shape_text().c_str());
  }
  const DequantizeArgs args{&encoded.packed, &encoded.scales, encoded.block, global_scale.data(), slices, order, &out};
  call(ops_for(encoded.packed).dequantize, execution, args);
}

TensorView as_stack(const TensorView& scales) {
  if (scales.ndim < 2)
    fail(Status::kInvalidArgument, "scales of shape %s, expected a matrix or a stack of them", scales.shape_text().c_str());
  TensorView stack = scales;
  const int lead = scales.ndim - 2;
  int64_t count = 1;
  for (int d = 0; d < lead; ++d) count *= scales.shape[d];
  // leading dimensions merge only if one step leads through all of them
  for (int d = 0; d + 1 < lead; ++d) {
    if (scales.shape[d] > 1 && scales.strides[d] != scales.strides[d + 1] * scales.shape[d + 1]) {
      fail(Status::kUnsupported, "scales of shape %s: its leading dimensions cannot be merged without a copy", scales.shape_text().c_str());
    }
  }
  const int64_t strides[3] = {lead > 0 ? scales.strides[lead - 1] : 0, scales.strides[lead], scales.strides[lead + 1]};
  const int64_t shape[3] = {count, scales.shape[lead], scales.shape[lead + 1]};
  stack.ndim = 3;
  for (int d = 0; d < 3; ++d) {
    stack.shape[d] = shape[d];
    stack.strides[d] = strides[d];
  }
  return stack;
}

std::vector<int64_t> tiles_shape(const TensorView& linear) {
  const TensorView stack = as_stack(linear);
  std::vector<int64_t> shape(linear.shape, linear.shape + linear.ndim - 2);
  shape.push_back(tile_bytes(stack.shape[1], stack.shape[2]));
  return shape;
}

void swizzle(const Execution& execution, const TensorView& linear, uint8_t* tiles, bool to_tiles) {
  const TensorView stack = as_stack(linear);
  if (linear.elements() == 0) return;  // no tiles either: padding is to multiples
  const SwizzleArgs args{&stack, tiles, to_tiles};
  call(ops_for(linear).swizzle, execution, args);
}

}  // namespace nvfp4cal::calib
