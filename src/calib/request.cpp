#include "calib/request.h"

#include <algorithm>
#include <cmath>

#include "calib/read_floats.h"
#include "core/backends.h"
#include "core/device.h"

namespace nvfp4cal::calib {

namespace {

// Slice s of x's first dimension.
TensorView slice_of(const TensorView& x, int64_t s) {
  TensorView slice = x;
  slice.data = static_cast<char*>(x.data) + s * x.strides[0] * static_cast<int64_t>(dtype_size(x.dtype));
  slice.shape[0] = 1;
  return slice;
}

float amax_of(const Execution& execution, const TensorView& x) {
  float amax = 0.0f;
  const AmaxArgs args{&x, {}, 1, 0, &amax};
  call(ops_for(x).amax, execution, args);
  return amax;
}

}  // namespace

void check_block_size(int block) {
  if (block != 16 && block != 32) fail(Status::kInvalidArgument, "block size %d, expected 16 or 32", block);
}

void check_normalization(int normalization) {
  if (normalization != 448 && normalization != 256) fail(Status::kInvalidArgument, "normalization %d, expected 448 or 256", normalization);
}

void check_window(int lo, int hi) {
  if (lo < -126 || hi > 126 || lo > hi) fail(Status::kInvalidArgument, "code window [%d, %d], expected -126 <= lo <= hi <= 126", lo, hi);
}

void check_amaxes(const std::vector<float>& values, const char* name) {
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = static_cast<double>(values[i]);
    if (!std::isfinite(value)) fail(Status::kNotFinite, "%s[%zu] is %g", name, i, value);
    if (value < 0) fail(Status::kInvalidArgument, "%s[%zu] is %g, expected 0 or more", name, i, value);
  }
}

std::vector<float> read_float32(const TensorView& view, const char* name) {
  if (view.dtype != Dtype::kF32) fail(Status::kUnsupported, "%s is %s, expected float32", name, dtype_name(view.dtype));
  return read_floats(view, name);
}

std::vector<float> read_global_amax(const TensorView& view) {
  std::vector<float> values = read_float32(view, "global_amax");
  if (values.empty()) fail(Status::kInvalidArgument, "global_amax has no elements");
  check_amaxes(values, "global_amax");
  return values;
}

void check_blocks(const TensorView& x, int block) {
  if (!is_float_input(x.dtype)) {
    fail(Status::kUnsupported, "x is %s, expected float32, bfloat16, float16 or float64", dtype_name(x.dtype));
  }
  if (x.elements() % block != 0) {
    fail(Status::kInvalidArgument, "x has %lld elements, not a multiple of the block size %d", ll(x.elements()), block);
  }
}

void check_columns(const TensorView& x, int block) {
  check_blocks(x, block);
  if (x.last() % block != 0) fail(Status::kInvalidArgument, "cols %lld is not a multiple of %d", ll(x.last()), block);
}

std::vector<int64_t> block_shape(const TensorView& x, int block) {
  if (x.ndim == 0 || x.last() % block != 0) return {x.elements() / block};
  std::vector<int64_t> shape(x.shape, x.shape + x.ndim);
  shape.back() /= block;
  return shape;
}

SweepRequest::SweepRequest(const Execution& execution, const TensorView& x, std::vector<float> global_amax, const TensorView* weights,
                           const SweepOptions& options)
    : global_amax_(std::move(global_amax)) {
  check_block_size(options.block);
  check_normalization(options.normalization);
  if (options.has_window) check_window(options.window_lo, options.window_hi);
  check_blocks(x, options.block);
  args.x = &x;
  args.block = options.block;
  args.normalization = static_cast<float>(options.normalization);
  args.weights = weights;
  args.has_window = options.has_window;
  args.window_lo = options.window_lo;
  args.window_hi = options.window_hi;
  if (weights) check_weights_shape(x, *weights, options.block);
  if (global_amax_.empty()) {
    global_amax_ = {amax_of(execution, x)};
    amax_was_found_ = true;
  }
  set_slices();
  args.global_amax = global_amax_.data();
  if (!amax_was_found_) check_zero_slices(execution);
}

void SweepRequest::set_slices() {
  const TensorView& x = *args.x;
  args.slices = static_cast<int64_t>(global_amax_.size());
  if (args.slices == 1) return;
  if (x.ndim == 0 || x.shape[0] != args.slices) {
    fail(Status::kInvalidArgument, "global_amax has %lld elements, expected 1 or the first extent of x, whose shape is %s", ll(args.slices),
         x.shape_text().c_str());
  }
  if (x.elements() / args.slices % args.block != 0) {
    fail(Status::kInvalidArgument, "a slice of x has %lld elements, not a multiple of the block size %d", ll(x.elements() / args.slices),
         args.block);
  }
}

void check_weights_shape(const TensorView& x, const TensorView& weights, int block) {
  if (!same_place(weights, x))
    fail(Status::kUnsupported, "weights lies %s, expected %s", place_text(weights).c_str(), place_text(x).c_str());
  if (!is_float_input(weights.dtype)) {
    fail(Status::kUnsupported, "weights is %s, expected float32, bfloat16, float16 or float64", dtype_name(weights.dtype));
  }
  const bool row = weights.ndim == 1 && x.ndim > 0 && weights.shape[0] == x.last() && x.last() % block == 0;
  bool whole = weights.ndim == x.ndim;
  for (int d = 0; whole && d < x.ndim; ++d) whole = weights.shape[d] == x.shape[d];
  if (!row && !whole) {
    fail(Status::kInvalidArgument, "weights of shape %s for x of shape %s, expected that shape or its last dimension",
         weights.shape_text().c_str(), x.shape_text().c_str());
  }
}

// A zero amax promises an all-zero slice; anything else would be lost.
void SweepRequest::check_zero_slices(const Execution& execution) const {
  for (int64_t s = 0; s < args.slices; ++s) {
    if (global_amax_[static_cast<size_t>(s)] > 0.0f) continue;
    const TensorView slice = args.slices == 1 ? *args.x : slice_of(*args.x, s);
    const float amax = slice.elements() > 0 ? amax_of(execution, slice) : 0.0f;
    if (amax > 0.0f)
      fail(Status::kInvalidArgument, "global_amax[%lld] is 0 but x has magnitudes up to %g there", ll(s), static_cast<double>(amax));
  }
}

void amax_of_codes(const Execution& execution, const uint8_t* codes, int64_t blocks, const std::vector<float>& global_amax,
                   float normalization, void* out) {
  call(cpu_ops().code_amaxes, execution,
       CodeAmaxArgs{codes, blocks, global_amax.data(), static_cast<int64_t>(global_amax.size()), normalization, out});
}

}  // namespace nvfp4cal::calib
