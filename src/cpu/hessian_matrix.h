// One cin-block's Hessian as the search uses it: made once, shared by all blocks of weights above it.
#pragma once

#include <cstdint>

#include "cpu/block_search.h"
#include "cpu/hessian_bound.h"
#include "cpu/sweep_plan.h"

namespace nvfp4cal::cpu {

// Weights from this magnitude on (G is in [1, 2)) get the largest code: |H| < 2 and r <= 2^56 keep every sum below float32's maximum.
inline constexpr float kHessianSaturation = 0x1p56f;

struct HessianMatrix {
  int block = 0;
  // Row-major [block, block], times the power of two that brings the largest magnitude into [1, 2).
  alignas(64) float values[kMaxBlock * kMaxBlock];
  // Row i from i (i + 1) / 2: H_ij + H_ji for j < i, then H_ii.
  alignas(64) float lower[kMaxBlock * (kMaxBlock + 1) / 2];
  HessianBound bound;
};

// values: [block, block], finite.
void prepare_hessian(const float* values, int block, HessianMatrix& out);

// Blocks that share a Hessian, one a row.
struct HessianRows {
  const float* data;
  int64_t stride, blocks;  // stride: elements from one block to the next
};

// A plan whose search is weighted by a Hessian, and the scales of its codes.
struct HessianPlan {
  HessianPlan(float global_amax, int block, float normalization);

  SweepPlan sweep;
  float scale[num::kE4m3Count + 1];
  // Whether one corrected product with the rounded reciprocal finds the level of every rounded quotient: it could only fail for x within
  // two steps of a boundary, and those are tried.
  bool exact_quotients;
};

// The codes that are tried for a block with maximum m > 0 (normalized units).
struct CodeRange {
  int lo, hi;
};
CodeRange code_range(const HessianPlan& plan, float m);

}  // namespace nvfp4cal::cpu
