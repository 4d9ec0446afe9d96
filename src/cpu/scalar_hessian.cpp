// The reference of the Hessian's kernels: plain loops.
#include <algorithm>
#include <cmath>

#include "cpu/kernels.h"
#include "cpu/load.h"
#include "num/e2m1.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int kGroup = 16;

void widen(Span x, int64_t groups, double* out, int64_t stride) {
  for (int64_t g = 0; g < groups; ++g) {
    for (int i = 0; i < kGroup; ++i) out[g * stride + i] = static_cast<double>(load_element(x, g * kGroup + i));
  }
}

void outer_product(const double* a, const double* b, int64_t rows, double* c, int64_t stride) {
  double sums[kGroup][kGroup] = {};
  for (int64_t row = 0; row < rows; ++row, a += kGroup, b += kGroup) {
    for (int i = 0; i < kGroup; ++i) {
      for (int j = 0; j < kGroup; ++j) sums[i][j] += a[i] * b[j];
    }
  }
  for (int i = 0; i < kGroup; ++i) {
    for (int j = 0; j < kGroup; ++j) c[i * stride + j] += sums[i][j];
  }
}

// r' H r at one scale, to the bit: true division, nearest even level, the residual has the sign of x, sums fused and in order.
float block_error(const HessianMatrix& hessian, const float* x, float scale) {
  const int block = hessian.block;
  float r[kMaxBlock];
  for (int i = 0; i < block; ++i) {
    const float magnitude = num::abs_of(x[i]);
    const float residual = std::fma(-num::e2m1_round(magnitude / scale), scale, magnitude);
    r[i] = std::signbit(x[i]) ? -residual : residual;
  }
  float error = 0.0f;
  for (int i = 0; i < block; ++i) {
    float t = 0.0f;
    for (int j = 0; j < block; ++j) t = std::fma(hessian.values[i * block + j], r[j], t);
    error = std::fma(r[i], t, error);
  }
  return error;
}

int block_code(const HessianPlan& plan, const HessianMatrix& hessian, const float* x) {
  float m = 0.0f;
  for (int i = 0; i < hessian.block; ++i) m = std::max(m, num::abs_of(x[i]));
  if (m == 0.0f) return 1;
  const CodeRange range = code_range(plan, m);
  if (m >= plan.sweep.saturation) return range.hi;
  float best = num::from_bits(num::kInfBits);
  int best_code = range.hi;
  for (int code = range.hi; code >= range.lo; --code) {
    const float error = block_error(hessian, x, plan.scale[code]);
    if (error <= best) {  // walking down: the smallest code wins ties
      best = error;
      best_code = code;
    }
  }
  return best_code;
}

bool hessian_sweep(const HessianPlan& plan, const HessianMatrix& hessian, const HessianRows& rows, uint8_t* codes) {
  float x[kMaxBlock];
  for (int64_t b = 0; b < rows.blocks; ++b) {
    for (int i = 0; i < hessian.block; ++i) {
      const float value = rows.data[b * rows.stride + i];
      if (!num::is_finite(value)) return false;
      x[i] = value * plan.sweep.prescale * plan.sweep.prescale2;
    }
    codes[b] = static_cast<uint8_t>(block_code(plan, hessian, x));
  }
  return true;
}

}  // namespace

void fill_scalar_hessian_kernels(Kernels& kernels) {
  kernels.widen = widen;
  kernels.outer_product = outer_product;
  kernels.hessian_exhaustive = hessian_sweep;
  kernels.hessian_sweep = hessian_sweep;
}

}  // namespace nvfp4cal::cpu
