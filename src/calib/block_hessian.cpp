#include "calib/block_hessian.h"

#include <cmath>

#include "core/backends.h"
#include "core/hessian_text.h"
#include "num/block_hessian.h"

namespace nvfp4cal::calib {

namespace {

bool symmetric(const float* h, int block, int i, int j) {
  const auto at = [&](int row, int column) { return static_cast<double>(h[row * block + column]); };
  return num::mirrors(at(i, j), at(j, i), at(i, i), at(j, j));
}

void check_matrix(const float* h, int block, int64_t index) {
  const auto place = [&](int i, int j) { return HessianPlace((index * block + i) * block + j, block); };
  for (int i = 0; i < block; ++i) {
    for (int j = 0; j < block; ++j) {
      const double value = static_cast<double>(h[i * block + j]);
      if (!std::isfinite(value)) throw Error(Status::kNotFinite, hessian_not_finite_text(place(i, j), value));
    }
  }
  for (int i = 0; i < block; ++i) {
    for (int j = 0; j < i; ++j) {
      if (symmetric(h, block, i, j)) continue;
      throw Error(Status::kInvalidArgument,
                  hessian_asymmetric_text(place(i, j), static_cast<double>(h[i * block + j]), static_cast<double>(h[j * block + i])));
    }
  }
}

}  // namespace

void check_hessian_view(const TensorView& view) {
  const bool square = view.ndim == 3 && view.shape[1] == view.shape[2] && (view.shape[1] == 16 || view.shape[1] == 32);
  if (!square || view.shape[0] == 0) {
    fail(Status::kInvalidArgument, "hessian of shape %s, expected [cols / 16, 16, 16] or [cols / 32, 32, 32]", view.shape_text().c_str());
  }
  if (view.dtype != Dtype::kF32) fail(Status::kUnsupported, "hessian is %s, expected float32", dtype_name(view.dtype));
}

BlockHessian read_hessian(const TensorView& view) {
  check_hessian_view(view);
  BlockHessian hessian{static_cast<int>(view.shape[1]), read_float32(view, "hessian")};
  for (int64_t j = 0; j < hessian.count(); ++j) check_matrix(hessian.values.data() + j * hessian.block * hessian.block, hessian.block, j);
  return hessian;
}

void check_hessian(const TensorView& x, int block, int64_t blocks_per_slice, int hessian_block, int64_t count) {
  if (hessian_block != block) {
    fail(Status::kInvalidArgument, "a Hessian of %d x %d for blocks of %d", hessian_block, hessian_block, block);
  }
  // [blocks, block] and a flat tensor say nothing of columns; a matrix does.
  const bool matrix = x.ndim >= 2 && x.last() != block;
  if (matrix ? x.last() != count * block : blocks_per_slice % count != 0) {
    fail(Status::kInvalidArgument, "%lld Hessians of %d columns for x of shape %s", ll(count), hessian_block, x.shape_text().c_str());
  }
}

void check_hessian(const SweepRequest& request, const BlockHessian& hessian) {
  if (request.args.weights) fail(Status::kInvalidArgument, "weights and a Hessian exclude each other");
  check_hessian(*request.args.x, request.args.block, request.blocks_per_slice(), hessian.block, hessian.count());
}

void sweep_hessian(const Execution& execution, const SweepRequest& request, const BlockHessian& hessian, uint8_t* codes) {
  check_hessian(request, hessian);
  HessianSweepArgs args{request.args, hessian.values.data(), hessian.count(), false};
  args.sweep.codes = codes;
  call(ops_for(*args.sweep.x).hessian_sweep, execution, args);
}

}  // namespace nvfp4cal::calib
