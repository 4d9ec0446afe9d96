#include "cpu/sweep_plan.h"

#include <algorithm>
#include <cmath>

namespace nvfp4cal::cpu {

namespace {
// Weighted and windowed searches have no saturation rule; this one keeps their sums below float32's maximum.
constexpr float kUnboundedSaturation = 0x1p60f;
}  // namespace

SweepPlan::SweepPlan(float global_amax, int block_size, float normalization_max)
    : block(block_size), normalization(normalization_max), rule(block_size, normalization_max) {
  const int exponent = num::normalizing_exponent(global_amax);  // -127 .. 149
  prescale = std::ldexp(1.0f, std::min(exponent, 127));
  prescale2 = exponent > 127 ? std::ldexp(1.0f, exponent - 127) : 1.0f;
  amax = global_amax * prescale * prescale2;
  global_scale = num::global_scale(amax, normalization);
  for (int j = 0; j < 8; ++j) {
    scale[j] = num::search_scale(num::kE4m3One + j, amax, normalization);
    reciprocal[j] = 1.0f / scale[j];
  }
  zero_below = num::search_scale(1, amax, normalization) / 4.0f;
  saturation = rule.saturation * amax;
}

void SweepPlan::set_weighted() {
  weighted = true;
  saturation = kUnboundedSaturation;
}

void SweepPlan::set_window(int lo, int hi) {
  has_window = true;
  window_lo = lo;
  window_hi = hi;
  saturation = kUnboundedSaturation;
}

void SweepPlan::set_integer_ladder() { integer_ladder = std::make_shared<const IntegerLadder>(amax, normalization); }

Ladder ladder_of(const SweepPlan& plan, float m) {
  constexpr float kNever = 2.0f * num::kE4m3Max;
  if (plan.has_window) {
    const int n = num::max_code(m, plan.global_scale);
    const int top = std::clamp(n + plan.window_hi, 1, num::kE4m3Count);
    const int bottom = std::clamp(n + plan.window_lo, 1, num::kE4m3Count);
    return {top, num::e4m3_magnitude(bottom), 1.0f, kNever};
  }
  const float u = plan.rule.u_of(m, plan.amax);
  const int top = plan.rule.top_code(u);
  if (plan.weighted) return {top, 0.0f, 1.0f, kNever};  // no lower rule holds
  return {top, u, plan.rule.lower, plan.rule.always};
}

float weight_prescale(const float* weights, int n) {
  const float largest = *std::max_element(weights, weights + n);
  return std::ldexp(1.0f, std::clamp(num::normalizing_exponent(largest), -126, 127));
}

void weight_roots(const float* weights, int64_t n, int16_t* roots) {
  for (int64_t i = 0; i < n; ++i) roots[i] = static_cast<int16_t>(std::lrint(32767.0 * std::sqrt(static_cast<double>(weights[i]) / 2.0)));
}

}  // namespace nvfp4cal::cpu
