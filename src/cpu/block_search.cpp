#include "cpu/block_search.h"

#include <limits>

namespace nvfp4cal::cpu {

num::BlockHessian bounded_hessian(const double* h, int n) {
  double work[kMaxBlock * kMaxBlock];
  num::BlockHessian hessian;
  hessian.h = h;
  hessian.floor = num::error_floor(num::OneLane(), h, n, work);
  return hessian;
}

bool prepare_admm(num::BlockHessian& hessian, int n, double* normalized, double* inverse) {
  double work[kMaxBlock * kMaxBlock], shifted[kMaxBlock * kMaxBlock];
  hessian.normalized = normalized;
  hessian.inverse = inverse;
  return num::prepare_admm(num::OneLane(), hessian.h, n, work, shifted, normalized, inverse);
}

float hessian_scale(const float* x, int n, const num::BlockHessian& hessian) { return num::hessian_scale<kMaxBlock>(x, n, hessian); }

float admm(const float* x, int n, const num::BlockHessian& hessian, const num::AdmmSteps& steps, float* quants) {
  return num::admm<kMaxBlock>(x, n, hessian, steps, quants);
}

float best_scale(const float* x, int n, const bool* codes) {
  float chosen = num::naive_scale(x, n);
  double least = num::block_sse(x, n, chosen, std::numeric_limits<double>::infinity());
  for (int code = 1; code <= num::kE4m3Count; ++code) {
    if (!codes[code]) continue;
    const double error = num::block_sse(x, n, num::e4m3_magnitude(code), least);
    if (!(error < least)) continue;  // the naive scale wins ties, then the smallest
    least = error;
    chosen = num::e4m3_magnitude(code);
  }
  return chosen;
}

void quantize_block(const float* x, int n, float scale, float* quants) {
  for (int i = 0; i < n; ++i) quants[i] = num::e2m1_level_ties_down(x[i], scale);
}

}  // namespace nvfp4cal::cpu
