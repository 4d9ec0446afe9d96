#include "cpu/hessian_matrix.h"

#include <algorithm>
#include <cmath>

namespace nvfp4cal::cpu {

void prepare_hessian(const float* values, int block, HessianMatrix& out) {
  out.block = block;
  const int n = block * block;
  float largest = 0.0f;
  for (int i = 0; i < n; ++i) largest = std::max(largest, num::abs_of(values[i]));
  const int exponent = largest > 0.0f ? -num::exponent_of(largest) : 0;
  for (int i = 0; i < n; ++i) out.values[i] = std::ldexp(values[i], exponent);
}

HessianPlan::HessianPlan(float global_amax, int block, float normalization) : sweep(global_amax, block, normalization) {
  sweep.saturation = kHessianSaturation;
  scale[0] = 0.0f;
  for (int code = 1; code <= num::kE4m3Count; ++code) scale[code] = num::search_scale(code, sweep.amax, normalization);
}

CodeRange code_range(const HessianPlan& plan, float m) {
  if (!plan.sweep.has_window) return {1, num::kE4m3Count};
  const int n = num::max_code(m, plan.sweep.global_scale);
  return {std::clamp(n + plan.sweep.window_lo, 1, num::kE4m3Count), std::clamp(n + plan.sweep.window_hi, 1, num::kE4m3Count)};
}

}  // namespace nvfp4cal::cpu
