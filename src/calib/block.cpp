#include "calib/block.h"

#include <algorithm>
#include <cmath>

#include "calib/read_floats.h"
#include "core/backends.h"
#include "core/hessian_text.h"
#include "num/block_hessian.h"

namespace nvfp4cal::calib {

namespace {

TensorView move_last(const TensorView& view, int dim) {
  TensorView moved = view;
  for (int d = dim; d + 1 < view.ndim; ++d) {
    moved.shape[d] = view.shape[d + 1];
    moved.strides[d] = view.strides[d + 1];
  }
  moved.shape[view.ndim - 1] = view.shape[dim];
  moved.strides[view.ndim - 1] = view.strides[dim];
  moved.contiguous = view.contiguous && dim == view.ndim - 1;
  return moved;
}

// Names the first element that is not finite by its flat index in the tensor as it was given.
void check_finite(const Execution& execution, const TensorView& x, const char* name) {
  float amax = 0.0f;
  const AmaxArgs args{&x, {}, 1, 0, &amax};
  try {
    call(ops_for(x).amax, execution, args);
  } catch (const Error& error) {
    // the operation calls its tensor x
    if (error.status() == Status::kNotFinite) fail(Status::kNotFinite, "%s%s", name, error.what() + 1);
    throw;
  }
}

void check_columns_divide(const BlockedTensor& w, int64_t columns, const char* name) {
  if (columns == 0 || w.count() % columns != 0) {
    fail(Status::kInvalidArgument, "w has %lld blocks, not a multiple of the %lld blocks of %s", ll(w.count()), ll(columns), name);
  }
}

void check_symmetric(const double* h, int n, int64_t column) {
  double largest = 0.0;
  for (int i = 0; i < n * n; ++i) largest = std::max(largest, std::fabs(h[i]));
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < i; ++k) {
      const double lower = h[i * n + k], upper = h[k * n + i];
      if (!num::mirrors(lower, upper, largest)) {
        throw Error(Status::kInvalidArgument, hessians_asymmetric_text({(column * n + i) * n + k, n}, lower, upper));
      }
    }
  }
}

// One a block or one in all; returns the step from block to block.
int64_t scale_step(const BlockedTensor& x, const std::vector<float>& scales) {
  const int64_t count = static_cast<int64_t>(scales.size());
  if (count != 1 && count != x.count()) {
    fail(Status::kInvalidArgument, "scales has %lld elements, expected %lld or 1", ll(count), ll(x.count()));
  }
  for (size_t i = 0; i < scales.size(); ++i) {
    const double value = static_cast<double>(scales[i]);
    if (!std::isfinite(value)) fail(Status::kNotFinite, "scales[%zu] is %g", i, value);
    if (value < 0) fail(Status::kInvalidArgument, "scales[%zu] is %g, expected 0 or more", i, value);
  }
  return count == 1 ? 0 : 1;
}

}  // namespace

BlockedTensor::BlockedTensor(const TensorView& tensor, int axis, const char* name)
    : view(tensor), dim(axis < 0 ? axis + tensor.ndim : axis) {
  if (!is_float_input(view.dtype)) {
    fail(Status::kUnsupported, "%s is %s, expected float32, bfloat16, float16 or float64", name, dtype_name(view.dtype));
  }
  if (dim < 0 || dim >= view.ndim) fail(Status::kInvalidArgument, "dim %d for %s of %d dimensions", axis, name, view.ndim);
  blocks = move_last(view, dim);
  shape.assign(blocks.shape, blocks.shape + blocks.ndim - 1);
}

TensorView BlockedTensor::like(void* data) const { return move_last(make_view(data, Dtype::kF32, view.ndim, view.shape), dim); }

void check_block_extent(const BlockedTensor& w) {
  if (w.extent() == 16 || w.extent() == 32) return;
  fail(Status::kInvalidArgument, "dimension %d of w has %lld elements, expected a block of 16 or 32", w.dim, ll(w.extent()));
}

int64_t check_hessians_shape(const BlockedTensor& w, const TensorView& h) {
  const int64_t n = w.extent();
  if (h.ndim != 3 || h.shape[1] != n || h.shape[2] != n) {
    fail(Status::kInvalidArgument, "hessians of shape %s, expected [columns, %lld, %lld]", h.shape_text().c_str(), ll(n), ll(n));
  }
  check_columns_divide(w, h.shape[0], "hessians");
  if (!is_float_input(h.dtype)) {
    fail(Status::kUnsupported, "hessians is %s, expected float32, bfloat16, float16 or float64", dtype_name(h.dtype));
  }
  return h.shape[0];
}

int64_t check_activations_shape(const BlockedTensor& w, const TensorView& x) {
  const int64_t n = w.extent();
  if (!is_float_input(x.dtype)) {
    fail(Status::kUnsupported, "activations is %s, expected float32, bfloat16, float16 or float64", dtype_name(x.dtype));
  }
  if (x.ndim != 2 || x.shape[0] == 0 || x.shape[1] % n != 0) {
    fail(Status::kInvalidArgument, "activations of shape %s, expected [rows, a multiple of %lld]", x.shape_text().c_str(), ll(n));
  }
  check_columns_divide(w, x.shape[1] / n, "activations");
  return x.shape[1] / n;
}

BlockHessians given_hessians(const BlockedTensor& w, const TensorView& h) {
  const int64_t columns = check_hessians_shape(w, h), n = w.extent();
  BlockHessians hessians{read_finite(h, "hessians"), columns};
  for (int64_t j = 0; j < h.shape[0]; ++j) check_symmetric(hessians.values.data() + j * n * n, static_cast<int>(n), j);
  return hessians;
}

BlockHessians hessians_of(const Execution& execution, const BlockedTensor& w, const TensorView& x) {
  const int64_t columns = check_activations_shape(w, x), n = w.extent();
  BlockHessians hessians{std::vector<double>(static_cast<size_t>(columns * n * n)), columns};
  const HessianArgs args{&x, HessianLayout::kBlocks, static_cast<int>(n), hessians.values.data(), "activations"};
  call(ops_for(x).hessian, execution, args);
  return hessians;
}

BlockSearchArgs block_search_args(const BlockedTensor& w, BlockMethod method, const BlockOptions& options) {
  BlockSearchArgs args{};
  args.x = &w.blocks;
  args.method = method;
  args.search_noise = options.search_noise;
  args.from_optimal = options.from_optimal;
  args.n_outer = options.n_outer;
  args.n_inner = options.n_inner;
  return args;
}

void block_search(const Execution& execution, const BlockedTensor& w, BlockMethod method, const BlockHessians* hessians,
                  const BlockOptions& options, const BlockOutputs& outputs) {
  check_finite(execution, w.view, "w");
  if (w.count() == 0) return;
  const TensorView quants = w.like(outputs.quants), dequant = w.like(outputs.dequant);
  BlockSearchArgs args = block_search_args(w, method, options);
  args.hessians = hessians ? hessians->values.data() : nullptr;
  args.columns = hessians ? hessians->columns : 0;
  args.scales = outputs.scales;
  args.quants = &quants;
  args.dequant = outputs.dequant ? &dequant : nullptr;
  call(ops_for(w.view).block_search, execution, args);
}

void block_quantize(const Execution& execution, const BlockedTensor& x, const std::vector<float>& scales, void* quants) {
  const int64_t step = scale_step(x, scales);
  check_finite(execution, x.view, "x");
  const TensorView out = x.like(quants);
  const BlockApplyArgs args{&x.blocks, scales.data(), step, &out, nullptr, nullptr};
  call(ops_for(x.view).block_apply, execution, args);
}

void block_dequantize(const Execution& execution, const BlockedTensor& quants, const std::vector<float>& scales, void* values) {
  const int64_t step = scale_step(quants, scales);
  check_finite(execution, quants.view, "quants");
  const TensorView out = quants.like(values);
  const BlockApplyArgs args{&quants.blocks, scales.data(), step, nullptr, &out, nullptr};
  call(ops_for(quants.view).block_apply, execution, args);
}

std::vector<double> block_sse(const Execution& execution, const BlockedTensor& x, const std::vector<float>& scales) {
  const int64_t step = scale_step(x, scales);
  check_finite(execution, x.view, "x");
  std::vector<double> errors(static_cast<size_t>(x.count()));
  const BlockApplyArgs args{&x.blocks, scales.data(), step, nullptr, nullptr, errors.data()};
  call(ops_for(x.view).block_apply, execution, args);
  return errors;
}

}  // namespace nvfp4cal::calib
