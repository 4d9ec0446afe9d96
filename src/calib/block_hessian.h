// The Hessians that a search takes: one for each block of columns.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/request.h"

namespace nvfp4cal::calib {

struct BlockHessian {
  int block = 0;              // 0: none
  std::vector<float> values;  // [count, block, block]

  bool empty() const { return block == 0; }
  int64_t count() const { return empty() ? 0 : static_cast<int64_t>(values.size()) / (block * block); }
};

// Throws unless the view is float32 [count, block, block].
void check_hessian_view(const TensorView& view);
// Checks that too, and the values: finite and symmetric to 1e-4. The messages name the block.
BlockHessian read_hessian(const TensorView& view);

// Throws unless so many Hessians of so many columns belong to x, whose slices have so many blocks.
void check_hessian(const TensorView& x, int block, int64_t blocks_per_slice, int hessian_block, int64_t count);

// Throws unless the Hessians belong to the request's tensor.
void check_hessian(const SweepRequest& request, const BlockHessian& hessian);

// Searches the request's blocks, flat block b weighed by Hessian b mod count. Throws unless the Hessians belong to the request's tensor.
void sweep_hessian(const Execution& execution, const SweepRequest& request, const BlockHessian& hessian, uint8_t* codes);

}  // namespace nvfp4cal::calib
