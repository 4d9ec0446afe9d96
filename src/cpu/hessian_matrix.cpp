#include "cpu/hessian_matrix.h"

#include <algorithm>
#include <cmath>

#include "num/e2m1.h"

namespace nvfp4cal::cpu {

namespace {

// The product's error is below 2^-45 of it, so that it rounds another way than the quotient only if x / s lies that near to where rounding turns:
// half a step from a boundary b, hence x within two steps of b s. All scales are these eight times powers of two.
bool has_exact_quotients(const SweepPlan& plan) {
  for (int j = 0; j < 8; ++j) {
    const float s = plan.scale[j], reciprocal = plan.reciprocal[j];
    for (const float boundary : {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f}) {
      const uint32_t middle = num::bits_of(boundary * s);
      for (uint32_t bits = middle - 4; bits <= middle + 4; ++bits) {
        const float x = num::from_bits(bits), near = x * reciprocal;
        const float y = std::fma(std::fma(-near, s, x), reciprocal, near);
        if (num::e2m1_round(y) != num::e2m1_round(x / s)) return false;
      }
    }
  }
  return true;
}

}  // namespace

void prepare_hessian(const float* values, int block, HessianMatrix& out) {
  out.block = block;
  const int n = block * block;
  float largest = 0.0f;
  for (int i = 0; i < n; ++i) largest = std::max(largest, num::abs_of(values[i]));
  const int exponent = largest > 0.0f ? -num::exponent_of(largest) : 0;
  for (int i = 0; i < n; ++i) out.values[i] = std::ldexp(values[i], exponent);
  float* lower = out.lower;
  for (int i = 0; i < block; ++i) {
    for (int j = 0; j < i; ++j) *lower++ = out.values[i * block + j] + out.values[j * block + i];
    *lower++ = out.values[i * block + i];
  }
  out.bound = make_hessian_bound(out.values, block);
}

HessianPlan::HessianPlan(float global_amax, int block, float normalization) : sweep(global_amax, block, normalization) {
  sweep.saturation = kHessianSaturation;
  exact_quotients = has_exact_quotients(sweep);
  scale[0] = 0.0f;
  for (int code = 1; code <= num::kE4m3Count; ++code) scale[code] = num::search_scale(code, sweep.amax, normalization);
}

CodeRange code_range(const HessianPlan& plan, float m) {
  if (!plan.sweep.has_window) return {1, num::kE4m3Count};
  const int n = num::max_code(m, plan.sweep.global_scale);
  return {std::clamp(n + plan.sweep.window_lo, 1, num::kE4m3Count), std::clamp(n + plan.sweep.window_hi, 1, num::kE4m3Count)};
}

}  // namespace nvfp4cal::cpu
