// Single-level quantization of one block where errors are weighed by a Hessian: r^T H r in float64, on host and device. docs/numerics.md 8.
#pragma once

#include "num/block_scale.h"
#include "num/small_linalg.h"

namespace nvfp4cal::num {

// What a search needs to know of one Hessian [n, n].
struct BlockHessian {
  const double* h = nullptr;
  double floor = 0.0;                  // r^T h r >= floor * r^T r as computed, rounding included; 0: not known to be positive definite
  const double* normalized = nullptr;  // ADMM: h over its largest eigenvalue
  const double* inverse = nullptr;     // ADMM: of normalized + identity
};

// How far two elements of a matrix that mirror each other may lie apart.
inline constexpr double kHessianSymmetry = 1e-4;
// Relative to the largest magnitude of the matrix: Hessians of single-level blocks.
NVFP4CAL_HD inline bool mirrors(double a, double b, double largest) { return !(fabs(a - b) > kHessianSymmetry * largest); }
// Relative to the two and, where they are near zero, to what Cauchy and Schwarz allow them to be by the elements of the diagonal: those of searches.
NVFP4CAL_HD inline bool mirrors(double a, double b, double row_diagonal, double column_diagonal) {
  const double size = fabs(a) < fabs(b) ? fabs(b) : fabs(a), most = sqrt(fabs(row_diagonal * column_diagonal));
  return fabs(a - b) <= kHessianSymmetry * (size < most ? most : size);
}

// ---- what is found once for each Hessian; work: memory of n * n values that all lanes share ----

template <class Lanes>
NVFP4CAL_HD double error_floor(const Lanes& lanes, const double* h, int n, double* work) {
  const double least = eigenvalue_range(lanes, h, n, work).least;
  double sum = 0.0;
  for (int i = 0; i < n * n; ++i) sum += h[i] * h[i];
  // 1e-12 |h| covers the eigenvalue's error and the rounding of r^T h r, both below 1e-13 |h| r^T r
  const double floor = least - 1e-12 * sqrt(sum);
  return floor > 0.0 ? floor : 0.0;
}

// Fills normalized and inverse, n * n values each; false if there is no inverse.
template <class Lanes>
NVFP4CAL_HD bool prepare_admm(const Lanes& lanes, const double* h, int n, double* work, double* shifted, double* normalized,
                              double* inverse) {
  const double largest = eigenvalue_range(lanes, h, n, work).largest, top = largest < 1e-6 ? 1e-6 : largest;
  lanes.each(n, [&](int i) {
    for (int j = 0; j < n; ++j) {
      normalized[i * n + j] = h[i * n + j] / top;
      shifted[i * n + j] = normalized[i * n + j] + (i == j ? 1.0 : 0.0);
    }
  });
  return invert(lanes, shifted, n, work, inverse);
}

// ---- one block ----

namespace block_hessian_detail {

// out = a v, every sum in the order of the columns.
NVFP4CAL_HD inline void multiply(const double* a, const double* v, int n, double* out) {
  NVFP4CAL_NO_UNROLL
  for (int i = 0; i < n; ++i) {
    double sum = 0.0;
    for (int j = 0; j < n; ++j) sum += a[i * n + j] * v[j];
    out[i] = sum;
  }
}

NVFP4CAL_HD inline double quadratic(const double* h, const double* r, int n) {
  double all = 0.0;
  NVFP4CAL_UNROLL
  for (int i = 0; i < n; ++i) {
    read_anew();
    double sum = 0.0;
    NVFP4CAL_UNROLL
    for (int j = 0; j < n; ++j) sum += h[i * n + j] * r[j];
    all += r[i] * sum;
  }
  return all;
}

// r^T h r at a scale, or infinity where the floor shows that it is not below the limit.
template <int kMost>
NVFP4CAL_HD double error_at(const float* x, int n, float scale, const BlockHessian& hessian, double limit) {
  double r[kMost], sse = 0.0;
  NVFP4CAL_UNROLL
  for (int i = 0; i < n; ++i) {
    r[i] = block_residual(x[i], e2m1_level_ties_down(x[i], scale), scale);
    sse += r[i] * r[i];
    if (hessian.floor > 0.0 && hessian.floor * sse > limit) return __builtin_huge_val();
  }
  return quadratic(hessian.h, r, n);
}

// float64 quotients are compared with the boundaries as they are.
NVFP4CAL_HD inline double level_of(double y) {
  const double m = fabs(y);
  const int code = (m > 0.25) + (m > 0.75) + (m > 1.25) + (m > 1.75) + (m > 2.5) + (m > 3.5) + (m > 5.0);
  const double value = static_cast<double>(e2m1_value(static_cast<uint8_t>(code)));
  return y > 0.0 ? value : y < 0.0 ? -value : 0.0;
}

// One pass of ADMM over the levels at a fixed scale.
template <int kMost>
NVFP4CAL_HD void project(const float* x, int n, float scale, const BlockHessian& hessian, int n_inner, double* z) {
  double hw[kMost], u[kMost], rhs[kMost], q[kMost];
  NVFP4CAL_NO_UNROLL
  for (int i = 0; i < n; ++i) {
    q[i] = static_cast<double>(x[i]) / static_cast<double>(scale);
    z[i] = level_of(q[i]);
    u[i] = 0.0;
  }
  multiply(hessian.normalized, q, n, hw);
  NVFP4CAL_NO_UNROLL
  for (int step = 0; step < n_inner; ++step) {
    for (int i = 0; i < n; ++i) rhs[i] = hw[i] + (z[i] - u[i]);
    multiply(hessian.inverse, rhs, n, q);
    NVFP4CAL_NO_UNROLL
    for (int i = 0; i < n; ++i) {
      z[i] = level_of(q[i] + u[i]);
      u[i] = u[i] + q[i] - z[i];
    }
  }
}

// The scale x^T h z / z^T h z that suits the levels best, rounded; the one they were found with where that is no good.
NVFP4CAL_HD inline float refit_scale(double numerator, double denominator, float scale) {
  if (!(numerator > 0.0) || !(denominator > 1e-12)) return scale;
  const double quotient = numerator / denominator;
  // beyond 448 it saturates; below, the float32 quotient rounds to E4M3
  return e4m3_snap(static_cast<float>(quotient < 1e-12 ? 1e-12 : 448.0 < quotient ? 448.0 : quotient));
}

NVFP4CAL_HD inline float refit(const float* x, const double* z, int n, const double* h, float scale) {
  double numerator = 0.0, denominator = 0.0;
  NVFP4CAL_NO_UNROLL
  for (int i = 0; i < n; ++i) {
    double sum = 0.0;
    for (int j = 0; j < n; ++j) sum += h[i * n + j] * z[j];
    numerator += static_cast<double>(x[i]) * sum;
    denominator += z[i] * sum;
  }
  return refit_scale(numerator, denominator, scale);
}

}  // namespace block_hessian_detail

// Of all 126 scales and the naive one, the one of least error. x: n elements, kMost at most; so below.
template <int kMost>
NVFP4CAL_HD float hessian_scale(const float* x, int n, const BlockHessian& hessian) {
  using block_hessian_detail::error_at;
  const float amax = block_largest(x, n), naive = naive_scale_of(amax);
  return search_block_scale(amax, naive, error_at<kMost>(x, n, naive, hessian, __builtin_huge_val()),
                            [&](float scale, double best) { return error_at<kMost>(x, n, scale, hessian, best); });
}

struct AdmmSteps {
  int n_outer, n_inner;
  bool from_optimal;
};
// Returns the scale and writes the signed levels.
template <int kMost>
NVFP4CAL_HD float admm(const float* x, int n, const BlockHessian& hessian, const AdmmSteps& steps, float* quants) {
  using namespace block_hessian_detail;
  const float start = steps.from_optimal ? hessian_scale<kMost>(x, n, hessian) : naive_scale(x, n);
  for (int i = 0; i < n; ++i) quants[i] = e2m1_level_ties_down(x[i], start);
  if (start == 0.0f) return start;  // nothing to divide by
  double z[kMost] = {}, r[kMost] = {};
  float scale = start;
  NVFP4CAL_NO_UNROLL
  for (int outer = 0; outer < steps.n_outer; ++outer) {
    project<kMost>(x, n, scale, hessian, steps.n_inner, z);
    const float next = refit(x, z, n, hessian.h, scale);
    if (next == scale) break;  // another step would repeat this one
    scale = next;
    if (scale == 0.0f) break;
  }
  for (int i = 0; i < n; ++i) r[i] = static_cast<double>(x[i]) - z[i] * static_cast<double>(scale);
  if (steps.from_optimal && !(quadratic(hessian.h, r, n) < error_at<kMost>(x, n, start, hessian, __builtin_huge_val()))) return start;
  for (int i = 0; i < n; ++i) quants[i] = static_cast<float>(z[i]);
  return scale;
}

}  // namespace nvfp4cal::num
