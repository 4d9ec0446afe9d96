// One row of a block of 16 columns in GPTQ (docs/gptq.md), and the numbers of its steps: the definition that every backend repeats bit for bit.
#pragma once

#include <math.h>
#include <stdint.h>

#include "num/e2m1.h"
#include "num/scale.h"

namespace nvfp4cal::num {

inline constexpr int kGptqBlock = 16;
inline constexpr int kGptqGroup = 128;  // columns whose errors reach the rest in one product
inline constexpr int kGptqRows =
    64;  // rows that go through all steps together; they share nothing but how products with few terms are summed
inline constexpr int kGptqSweeps = 4;

// Units in which the global amax is in [1, 2): exact, and squares stay in float32's range. factor: of the weights, a power of two.
struct GptqUnits {
  double factor;
  float global_scale;
};
inline GptqUnits gptq_units(float global_amax) {
  const double factor = ldexp(1.0, normalizing_exponent(global_amax));
  return {factor, static_cast<float>(static_cast<double>(global_scale(global_amax, kNormalization)) * factor)};
}

// Scale codes that are tried, around one.
struct GptqCandidates {
  int below, above;
};
inline constexpr GptqCandidates kGptqRounding = {6, 8};       // around the code of the largest moved magnitude
inline constexpr GptqCandidates kGptqNeighbourhood = {2, 3};  // around the code of now
NVFP4CAL_HD inline int gptq_candidate(int around, int step) {
  const int code = around + step;
  return code < 1 ? 1 : code > kE4m3Count ? kE4m3Count : code;
}

// The candidate of the least loss, the first of equal ones; loss(k) is that of step k - below.
template <class Loss>
NVFP4CAL_HD inline int gptq_best_code(int around, GptqCandidates candidates, Loss&& loss) {
  float least = __builtin_huge_valf();
  int best = 1;
  for (int k = 0; k <= candidates.below + candidates.above; ++k) {
    const float one = loss(k);
    if (!(one < least)) continue;
    least = one;
    best = gptq_candidate(around, k - candidates.below);
  }
  return best;
}

// The baseline code of a block's largest magnitude; 1 where all are zero.
NVFP4CAL_HD inline int gptq_max_code(float largest, float global_scale) { return largest > 0.0f ? max_code(largest, global_scale) : 1; }
NVFP4CAL_HD inline float gptq_scale(int code, float global_scale) { return stored_scale(e4m3_magnitude(code), global_scale); }

// Whether changes are added one after the other, instead of as a product of all columns: less than a quarter are left.
NVFP4CAL_HD inline bool gptq_is_few(int64_t changed, int64_t all) { return changed * 4 < all; }

NVFP4CAL_HD inline float gptq_level(float x, float reciprocal) {
  const float y = x * reciprocal;
  return copysignf(e2m1_round(abs_of(y)), y);
}

// Decoded - weight of rounding to nearest.
NVFP4CAL_HD inline float gptq_nearest_error(float weight, float scale) {
  return copysignf(e2m1_round(abs_of(weight) / scale) * scale, weight) - weight;
}

// Rounds the columns in order at one scale, each column's error moving those after it. Returns the loss. Row: target(i), weight(i), pivot(i),
// feedback(i, j), and keep(i, error).
template <class Row>
NVFP4CAL_HD inline float gptq_round_columns(Row&& row, float scale) {
  const float reciprocal = 1.0f / scale;
  float target[kGptqBlock], loss = 0.0f;
  NVFP4CAL_UNROLL
  for (int i = 0; i < kGptqBlock; ++i) target[i] = row.target(i);
  NVFP4CAL_UNROLL
  for (int i = 0; i < kGptqBlock; ++i) {
    const float level = gptq_level(target[i], reciprocal);
    const float off = fmaf(level, scale, -target[i]);
    loss = fmaf(off * off, row.pivot(i), loss);
    const float error = fmaf(level, scale, -row.weight(i));
    row.keep(i, error);
    NVFP4CAL_UNROLL
    for (int j = i + 1; j < kGptqBlock; ++j) target[j] = fmaf(-error, row.feedback(i, j), target[j]);
  }
  return loss;
}

// Moves each column to the level that is best while all others stay. Row: gradient(i), weight(i), error(i), reciprocal(i), hessian(i, j), and
// keep(i, error, change).
template <class Row>
NVFP4CAL_HD inline void gptq_descend_columns(Row&& row, float scale) {
  const float reciprocal = 1.0f / scale;
  float gradient[kGptqBlock];
  NVFP4CAL_UNROLL
  for (int i = 0; i < kGptqBlock; ++i) gradient[i] = row.gradient(i);
  NVFP4CAL_UNROLL
  for (int i = 0; i < kGptqBlock; ++i) {
    const float weight = row.weight(i), old = row.error(i);
    const float wanted = fmaf(-gradient[i], row.reciprocal(i), weight + old);
    const float error = fmaf(gptq_level(wanted, reciprocal), scale, -weight), change = error - old;
    row.keep(i, error, change);
    NVFP4CAL_UNROLL
    for (int j = i + 1; j < kGptqBlock; ++j) gradient[j] = fmaf(change, row.hessian(i, j), gradient[j]);
  }
}

// The nibble of weight + error, a level times the scale but for rounding; never -0.
NVFP4CAL_HD inline uint8_t gptq_nibble(float weight, float error, float reciprocal) {
  const uint8_t nibble = e2m1_code((weight + error) * reciprocal);
  return nibble == 8 ? uint8_t{0} : nibble;
}

}  // namespace nvfp4cal::num
