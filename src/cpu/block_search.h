// One block at a time: what single-level quantization needs beside num/block_scale.h, by the rules of docs/numerics.md 8. Plain loops: the same
// bits on every target.
#pragma once

#include <cstdint>

namespace nvfp4cal::cpu {

inline constexpr int kMaxBlock = 32;

// What a search needs to know of one Hessian [n, n].
struct BlockHessian {
  const double* h = nullptr;
  double floor = 0.0;                  // r^T h r >= floor * r^T r as computed, rounding included; 0: not known to be positive definite
  const double* normalized = nullptr;  // ADMM: h over its largest eigenvalue
  const double* inverse = nullptr;     // ADMM: of normalized + identity
};

// Fills h and floor.
BlockHessian bounded_hessian(const double* h, int n);
// Fills normalized and inverse, in memory of n * n values each; false if the inverse does not exist.
bool prepare_admm(BlockHessian& hessian, int n, double* normalized, double* inverse);

float hessian_scale(const float* x, int n, const BlockHessian& hessian);

struct AdmmSteps {
  int n_outer, n_inner;
  bool from_optimal;
};
// Returns the scale and writes the signed levels.
float admm(const float* x, int n, const BlockHessian& hessian, const AdmmSteps& steps, float* quants);

void quantize_block(const float* x, int n, float scale, float* quants);

}  // namespace nvfp4cal::cpu
