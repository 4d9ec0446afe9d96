// One block at a time: what single-level quantization needs beside num/block_scale.h, by the rules of docs/numerics.md 8. Plain loops: the same
// bits on every target.
#pragma once

#include "num/block_hessian.h"

namespace nvfp4cal::cpu {

inline constexpr int kMaxBlock = num::kSmallMatrix;

// Fills h and floor.
num::BlockHessian bounded_hessian(const double* h, int n);
// Fills normalized and inverse, in memory of n * n values each; false if the inverse does not exist.
bool prepare_admm(num::BlockHessian& hessian, int n, double* normalized, double* inverse);

float hessian_scale(const float* x, int n, const num::BlockHessian& hessian);

// Returns the scale and writes the signed levels.
float admm(const float* x, int n, const num::BlockHessian& hessian, const num::AdmmSteps& steps, float* quants);

void quantize_block(const float* x, int n, float scale, float* quants);

// The best of the naive scale and some codes by the definition (docs/numerics.md 8); codes [1, 126], true for those to try.
float best_scale(const float* x, int n, const bool* codes);

}  // namespace nvfp4cal::cpu
