#include "cpu/block_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/small_linalg.h"
#include "num/block_scale.h"

namespace nvfp4cal::cpu {

static_assert(kMaxBlock <= kSmallMatrix);

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// out = a v, every sum in the order of the columns.
void multiply(const double* a, const double* v, int n, double* out) {
  for (int i = 0; i < n; ++i) {
    double sum = 0.0;
    for (int j = 0; j < n; ++j) sum += a[i * n + j] * v[j];
    out[i] = sum;
  }
}

double dot(const double* a, const double* b, int n) {
  double sum = 0.0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

double quadratic(const double* h, const double* r, int n) {
  double t[kMaxBlock];
  multiply(h, r, n, t);
  return dot(r, t, n);
}

// r^T h r at a scale, or infinity where the floor shows that it is not below the limit.
double hessian_error(const float* x, int n, float scale, const BlockHessian& hessian, double limit) {
  double r[kMaxBlock], sse = 0.0;
  for (int i = 0; i < n; ++i) {
    r[i] = num::block_residual(x[i], num::e2m1_level_ties_down(x[i], scale), scale);
    sse += r[i] * r[i];
    if (hessian.floor > 0.0 && hessian.floor * sse > limit) return kInfinity;
  }
  return quadratic(hessian.h, r, n);
}

// One pass of ADMM over the levels at a fixed scale.
void project(const float* x, int n, float scale, const BlockHessian& hessian, int n_inner, double* z) {
  double w[kMaxBlock], hw[kMaxBlock], u[kMaxBlock] = {}, rhs[kMaxBlock], q[kMaxBlock];
  const auto level = [](double y) {
    // float64 quotients are compared with the boundaries as they are
    const double m = std::fabs(y);
    const int code = (m > 0.25) + (m > 0.75) + (m > 1.25) + (m > 1.75) + (m > 2.5) + (m > 3.5) + (m > 5.0);
    const double value = static_cast<double>(num::e2m1_value(static_cast<uint8_t>(code)));
    return y > 0.0 ? value : y < 0.0 ? -value : 0.0;
  };
  for (int i = 0; i < n; ++i) {
    w[i] = static_cast<double>(x[i]) / static_cast<double>(scale);
    z[i] = level(w[i]);
  }
  multiply(hessian.normalized, w, n, hw);
  for (int step = 0; step < n_inner; ++step) {
    for (int i = 0; i < n; ++i) rhs[i] = hw[i] + (z[i] - u[i]);
    multiply(hessian.inverse, rhs, n, q);
    for (int i = 0; i < n; ++i) {
      z[i] = level(q[i] + u[i]);
      u[i] = u[i] + q[i] - z[i];
    }
  }
}

// The scale that suits the levels best, rounded; the one they were found with where that is no good.
float refit(const double* x, const double* z, int n, const double* h, float scale) {
  double hz[kMaxBlock];
  multiply(h, z, n, hz);
  const double numerator = dot(x, hz, n), denominator = dot(z, hz, n);
  if (!(numerator > 0.0) || !(denominator > 1e-12)) return scale;
  // beyond 448 it saturates; below, the float32 quotient rounds to E4M3
  return num::e4m3_snap(static_cast<float>(std::clamp(numerator / denominator, 1e-12, 448.0)));
}

}  // namespace

BlockHessian bounded_hessian(const double* h, int n) {
  double values[kMaxBlock], sum = 0.0;
  symmetric_eigenvalues(h, n, values);
  for (int i = 0; i < n * n; ++i) sum += h[i] * h[i];
  // 1e-12 |h| covers the eigenvalue's error and the rounding of r^T h r, both below 1e-13 |h| r^T r
  const double floor = values[0] - 1e-12 * std::sqrt(sum);
  BlockHessian hessian;
  hessian.h = h;
  hessian.floor = floor > 0.0 ? floor : 0.0;
  return hessian;
}

bool prepare_admm(BlockHessian& hessian, int n, double* normalized, double* inverse) {
  double values[kMaxBlock], shifted[kMaxBlock * kMaxBlock];
  symmetric_eigenvalues(hessian.h, n, values);
  const double top = std::max(values[n - 1], 1e-6);
  for (int i = 0; i < n * n; ++i) {
    normalized[i] = hessian.h[i] / top;
    shifted[i] = normalized[i] + (i % (n + 1) == 0 ? 1.0 : 0.0);
  }
  hessian.normalized = normalized;
  hessian.inverse = inverse;
  return invert(shifted, n, inverse);
}

float hessian_scale(const float* x, int n, const BlockHessian& hessian) {
  const float amax = num::block_largest(x, n), naive = num::naive_scale_of(amax);
  return num::search_block_scale(amax, naive, hessian_error(x, n, naive, hessian, kInfinity),
                                 [&](float scale, double best) { return hessian_error(x, n, scale, hessian, best); });
}

float admm(const float* x, int n, const BlockHessian& hessian, const AdmmSteps& steps, float* quants) {
  const float start = steps.from_optimal ? hessian_scale(x, n, hessian) : num::naive_scale(x, n);
  quantize_block(x, n, start, quants);
  if (start == 0.0f) return start;  // nothing to divide by
  double wide[kMaxBlock], z[kMaxBlock] = {}, r[kMaxBlock] = {};
  for (int i = 0; i < n; ++i) wide[i] = static_cast<double>(x[i]);
  float scale = start;
  for (int outer = 0; outer < steps.n_outer; ++outer) {
    project(x, n, scale, hessian, steps.n_inner, z);
    const float next = refit(wide, z, n, hessian.h, scale);
    if (next == scale) break;  // another step would repeat this one
    scale = next;
    if (scale == 0.0f) break;
  }
  for (int i = 0; i < n; ++i) r[i] = wide[i] - z[i] * static_cast<double>(scale);
  if (steps.from_optimal && !(quadratic(hessian.h, r, n) < hessian_error(x, n, start, hessian, kInfinity))) return start;
  for (int i = 0; i < n; ++i) quants[i] = static_cast<float>(z[i]);
  return scale;
}

void quantize_block(const float* x, int n, float scale, float* quants) {
  for (int i = 0; i < n; ++i) quants[i] = num::e2m1_level_ties_down(x[i], scale);
}

}  // namespace nvfp4cal::cpu
