// The reference of single-level quantization's kernels: num/block_scale.h, block by block.
#include "cpu/kernels.h"
#include "num/block_scale.h"

namespace nvfp4cal::cpu {

namespace {

void optimal_scales(const float* x, int n, int64_t blocks, bool search_noise, float* scales) {
  for (int64_t b = 0; b < blocks; ++b) scales[b] = num::optimal_scale(x + b * n, n, search_noise);
}

void hessian_scales(const BlockMatrix& matrix, const float* x, int n, int64_t blocks, float* scales) {
  for (int64_t b = 0; b < blocks; ++b) scales[b] = hessian_scale(x + b * n, n, matrix.hessian);
}

void block_levels(const float* x, int64_t n, int64_t blocks, const float* scales, float* levels) {
  for (int64_t i = 0; i < n * blocks; ++i) levels[i] = num::e2m1_level_ties_down(x[i], scales[i / n]);
}

}  // namespace

void fill_scalar_block_kernels(Kernels& kernels) {
  kernels.optimal_scales = optimal_scales;
  kernels.hessian_scales = hessian_scales;
  kernels.block_levels = block_levels;
}

}  // namespace nvfp4cal::cpu
