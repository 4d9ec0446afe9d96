// Single-level quantization of one block: levels, errors and scales, on host and device. Levels come from float32 quotients, errors are float64, sums in
// order. docs/numerics.md 8.
#pragma once

#include "num/e2m1.h"
#include "num/e4m3.h"

namespace nvfp4cal::num {

// The nearest E4M3 value of y >= 0.
NVFP4CAL_HD inline float e4m3_snap(float y) { return e4m3_magnitude(e4m3_code_of_magnitude(y)); }

NVFP4CAL_HD inline float block_largest(const float* x, int n) {
  float amax = 0.0f;
  for (int i = 0; i < n; ++i) amax = abs_of(x[i]) > amax ? abs_of(x[i]) : amax;
  return amax;
}

NVFP4CAL_HD inline float naive_scale_of(float amax) { return e4m3_snap(amax / 6.0f < 1e-12f ? 1e-12f : amax / 6.0f); }
NVFP4CAL_HD inline float naive_scale(const float* x, int n) { return naive_scale_of(block_largest(x, n)); }

// The product of a level and an E4M3 value has a few bits: exact in float64.
NVFP4CAL_HD inline double block_residual(float x, float q, float scale) {
  return static_cast<double>(x) - static_cast<double>(q) * static_cast<double>(scale);
}

// sum plus (x - q s)^2 of all elements in order; may stop as soon as that is known to be at least `limit`.
NVFP4CAL_HD inline double block_sse(const float* x, int n, float scale, double limit, double sum = 0.0) {
  for (int i = 0; i < n && sum < limit; ++i) {
    const double r = block_residual(x[i], e2m1_level_ties_down(x[i], scale), scale);
    sum += r * r;
  }
  return sum;
}

// Tries the 126 scales, ascending; error_of(scale, best) need not be exact once it is at least best. Only a smaller error replaces
// `scale`. All scales at which every element is zero are the same: the first of them is the last one tried.
template <class ErrorOf>
NVFP4CAL_HD float search_block_scale(float amax, float scale, double best, ErrorOf&& error_of) {
  NVFP4CAL_NO_UNROLL
  for (int code = 1; code <= kE4m3Count; ++code) {
    const float candidate = e4m3_magnitude(code);
    const double error = error_of(candidate, best);
    if (error < best) {
      best = error;
      scale = candidate;
    }
    if (e2m1_magnitude_code_ties_down(amax / candidate) == 0) break;
  }
  return scale;
}

NVFP4CAL_HD inline float optimal_scale(const float* x, int n, bool search_noise) {
  constexpr double kInfinity = __builtin_huge_val();
  const float amax = block_largest(x, n), naive = naive_scale_of(amax);
  const double error = block_sse(x, n, naive, kInfinity);
  double energy = 0.0;
  for (int i = 0; i < n; ++i) energy += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  if (!search_noise && energy <= error) return naive;
  return search_block_scale(amax, naive, error, [&](float scale, double best) {
    // the clipped maximum alone; sums of squares only grow, in floating point too
    const double clipped = static_cast<double>(amax) - 6.0 * static_cast<double>(scale);
    return clipped > 0.0 && clipped * clipped >= best ? kInfinity : block_sse(x, n, scale, best);
  });
}

}  // namespace nvfp4cal::num
