// Single-level block quantization: blocks along any one dimension, E4M3 scales without a global scale. docs/numerics.md 8.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ops.h"

namespace nvfp4cal::calib {

struct BlockOptions {
  bool search_noise = false;
  bool from_optimal = false;
  int n_outer = 3;
  int n_inner = 10;
};

// A tensor cut along one dimension.
struct BlockedTensor {
  // Throws unless dim is one of the view's (negative ones count from the end) and the elements are floats.
  BlockedTensor(const TensorView& view, int dim, const char* name);

  TensorView view;             // as given
  TensorView blocks;           // the same elements, the dimension moved to the end
  std::vector<int64_t> shape;  // without the dimension
  int dim;                     // 0 or more
  int64_t extent() const { return blocks.last(); }
  int64_t count() const { return make_view(nullptr, Dtype::kF32, static_cast<int>(shape.size()), shape.data()).elements(); }
  // An output of the same shape, contiguous, seen in the same way.
  TensorView like(void* data) const;
};

// Throws unless blocks have 16 or 32 elements.
void check_block_extent(const BlockedTensor& w);

// Symmetric float64 matrices [columns, block, block] that belong to blocks of w in turn.
struct BlockHessians {
  std::vector<double> values;
  int64_t columns = 0;
};
// Throw unless h is [columns, block, block], or x [rows, columns * block], of floats, and columns divides w's blocks. Return columns.
int64_t check_hessians_shape(const BlockedTensor& w, const TensorView& h);
int64_t check_activations_shape(const BlockedTensor& w, const TensorView& x);
// h [columns, block, block]: finite, symmetric to 1e-4 of the matrix's largest element.
BlockHessians given_hessians(const BlockedTensor& w, const TensorView& h);
// x [rows, columns * block]: sums of x_j^T x_j.
BlockHessians hessians_of(const Execution& execution, const BlockedTensor& w, const TensorView& x);

struct BlockOutputs {
  float* scales;
  void* quants;   // float32 of any alignment
  void* dequant;  // the same; may be NULL
};
// A search on either backend, its Hessians and outputs to be set. w must outlive it.
BlockSearchArgs block_search_args(const BlockedTensor& w, BlockMethod method, const BlockOptions& options);
// hessians: for the methods that use them.
void block_search(const Execution& execution, const BlockedTensor& w, BlockMethod method, const BlockHessians* hessians,
                  const BlockOptions& options, const BlockOutputs& outputs);

// scales: one a block or one in all, finite and >= 0. They are checked here.
void block_quantize(const Execution& execution, const BlockedTensor& x, const std::vector<float>& scales, void* quants);
void block_dequantize(const Execution& execution, const BlockedTensor& quants, const std::vector<float>& scales, void* out);
std::vector<double> block_sse(const Execution& execution, const BlockedTensor& x, const std::vector<float>& scales);

}  // namespace nvfp4cal::calib
