#include "cpu/block_search.h"

#include <cmath>
#include <limits>
#include <utility>

#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The best of `chosen`, whose error is `least`, and some codes; the first wins ties, then the smallest.
template <class ErrorOf>
float best_code(float chosen, double least, const bool* codes, ErrorOf&& error_of) {
  for (int code = 1; code <= num::kE4m3Count; ++code) {
    if (!codes[code]) continue;
    const double error = error_of(num::e4m3_magnitude(code), least);
    if (!(error < least)) continue;
    least = error;
    chosen = num::e4m3_magnitude(code);
  }
  return chosen;
}

// c with c^T c = the symmetric part of h, in a new order, plus shift * identity; false where that is not positive definite. From the last row on each
// takes the least pivot.
bool factor_shifted(const double* h, int n, double shift, double* c, uint8_t* order) {
  double rest[kMaxBlock * kMaxBlock];
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) rest[i * n + j] = 0.5 * (h[i * n + j] + h[j * n + i]) + (i == j ? shift : 0.0);
    order[i] = static_cast<uint8_t>(i);
  }
  for (int i = n - 1; i >= 0; --i) {
    int least = i;
    for (int k = 0; k < i; ++k) {
      if (rest[order[k] * (n + 1)] < rest[order[least] * (n + 1)]) least = k;
    }
    std::swap(order[i], order[least]);
    for (int k = i + 1; k < n; ++k) std::swap(c[k * n + i], c[k * n + least]);
    const double* const row = rest + order[i] * n;
    if (!(row[order[i]] > 0.0)) return false;
    for (int j = 0; j <= i; ++j) c[i * n + j] = row[order[j]] / std::sqrt(row[order[i]]);
    for (int j = 0; j < i; ++j) {
      for (int k = 0; k < i; ++k) rest[order[j] * n + order[k]] -= c[i * n + j] * c[i * n + k];
    }
  }
  return true;
}

}  // namespace

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
  const float naive = num::naive_scale(x, n);
  return best_code(naive, num::block_sse(x, n, naive, kInfinity), codes,
                   [&](float scale, double least) { return num::block_sse(x, n, scale, least); });
}

float best_hessian_scale(const float* x, int n, const num::BlockHessian& hessian, const bool* codes) {
  using num::block_hessian_detail::error_at;
  const float naive = num::naive_scale(x, n);
  return best_code(naive, error_at<kMaxBlock>(x, n, naive, hessian, kInfinity), codes,
                   [&](float scale, double least) { return error_at<kMaxBlock>(x, n, scale, hessian, least); });
}

HessianFactor factor_hessian(const num::BlockHessian& hessian, int n, float* rows) {
  double c[kMaxBlock * kMaxBlock], squares = 0.0, trace = 0.0;
  for (int i = 0; i < n * n; ++i) squares += hessian.h[i] * hessian.h[i];
  for (int i = 0; i < n; ++i) trace += hessian.h[i * (n + 1)];
  const double norm = std::sqrt(squares);
  HessianFactor factor;
  if (!(norm > 0x1p-400) || !(norm < 0x1p400)) return factor;
  double shift = 0x1p-20 * norm;  // ends: no eigenvalue is below -norm
  while (!factor_shifted(hessian.h, n, shift, c, factor.order)) shift *= 4.0;
  const double unit = trace + n * shift, root = std::sqrt(unit);
  factor.shift = static_cast<float>(shift / unit);
  factor.floor = static_cast<float>(hessian.floor / unit * (1.0 - 0x1p-20));
  factor.tolerance = static_cast<float>((4 * n + 16) * 0x1p-24 * (1.0 + shift / unit));
  factor.rows = rows;
  for (int i = 0; i < n; i += 4) {
    for (int j = 0; j < i + 4; ++j) {
      for (int k = i; k < i + 4; ++k) *rows++ = j <= k ? static_cast<float>(c[k * n + j] / root) : 0.0f;
    }
  }
  return factor;
}

}  // namespace nvfp4cal::cpu
