// What single-level quantization needs beside num/block_scale.h, by the rules of docs/numerics.md 8. Plain loops: the same bits on every target.
#pragma once

#include <cstdint>

#include "num/block_hessian.h"

namespace nvfp4cal::cpu {

struct Kernels;  // kernels.h

inline constexpr int kMaxBlock = num::kSmallMatrix;

// Fills h and floor.
num::BlockHessian bounded_hessian(const double* h, int n);
// Fills normalized and inverse, in memory of n * n values each; false if the inverse does not exist.
bool prepare_admm(num::BlockHessian& hessian, int n, double* normalized, double* inverse);

// The definitions.
float hessian_scale(const float* x, int n, const num::BlockHessian& hessian);
float admm(const float* x, int n, const num::BlockHessian& hessian, const num::AdmmSteps& steps, float* quants);

// The best of the naive scale and some codes by the definition (docs/numerics.md 8); codes [1, 126], true for those to try.
float best_scale(const float* x, int n, const bool* codes);
float best_hessian_scale(const float* x, int n, const num::BlockHessian& hessian, const bool* codes);

// ---- the filter of optimal_hessian: r^T h r in units of some size is |c r|^2 - shift r^T r (docs/numerics.md 8) ----

// float32 values of c, a lower triangle: for every four rows the columns up to their last one, four values a column, zero above the diagonal.
inline constexpr int factor_size(int n) { return n * (n + 4) / 2; }

// The elements of a block are those of c in an order that makes the first rows large.
struct HessianFactor {
  const float* rows = nullptr;  // NULL: no filter for this matrix
  uint8_t order[kMaxBlock] = {};
  float shift = 0.0f, floor = 0.0f;  // floor: num::BlockHessian's
  float tolerance = 0.0f;            // of |c r|^2 - shift r^T r as computed, over r^T r
};
// rows: memory of factor_size(n) values.
HessianFactor factor_hessian(const num::BlockHessian& hessian, int n, float* rows);

// What a search knows of one Hessian.
struct BlockMatrix {
  num::BlockHessian hessian;
  HessianFactor factor;
};

// ---- ADMM ----

// Blocks of one matrix on lanes: element i of block b is value i * kCount + b.
struct AdmmLanes {
  static constexpr int kCount = 8;
  int n, n_inner;
  const double *h, *normalized, *inverse;  // num::BlockHessian's, transposed
  alignas(64) double x[kMaxBlock * kCount], z[kMaxBlock * kCount];
  alignas(64) double scale[kCount], x_h_z[kCount], z_h_z[kCount];
};

inline constexpr int64_t kAdmmBlocks = 256;

// The scales and signed levels of kAdmmBlocks blocks at most.
void admm(const Kernels& kernels, const BlockMatrix& matrix, int n, const num::AdmmSteps& steps, const float* x, int64_t blocks,
          float* scales, float* quants);

}  // namespace nvfp4cal::cpu
