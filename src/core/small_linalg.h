// Dense matrices of at most 32 rows in float64, row-major: what block Hessians need. Plain loops, the same bits everywhere.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

namespace nvfp4cal {

inline constexpr int kSmallMatrix = 32;

namespace small_linalg_detail {

// One Jacobi rotation that makes a[p][q] zero.
inline void rotate(double* a, int n, int p, int q) {
  const double apq = a[p * n + q];
  if (apq == 0.0) return;
  const double theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
  const double t = (theta < 0.0 ? -1.0 : 1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1.0));
  const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
  for (int k = 0; k < n; ++k) {
    const double akp = a[k * n + p], akq = a[k * n + q];
    a[k * n + p] = c * akp - s * akq;
    a[k * n + q] = s * akp + c * akq;
  }
  for (int k = 0; k < n; ++k) {
    const double apk = a[p * n + k], aqk = a[q * n + k];
    a[p * n + k] = c * apk - s * aqk;
    a[q * n + k] = s * apk + c * aqk;
  }
  a[p * n + q] = a[q * n + p] = 0.0;
}

}  // namespace small_linalg_detail

// Eigenvalues of the symmetric part of a [n, n], ascending, by cyclic Jacobi rotations: errors of a few n 2^-53 |a|.
inline void symmetric_eigenvalues(const double* matrix, int n, double* values) {
  double a[kSmallMatrix * kSmallMatrix];
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) a[i * n + j] = 0.5 * (matrix[i * n + j] + matrix[j * n + i]);
  }
  double total = 0.0;
  for (int i = 0; i < n * n; ++i) total = std::max(total, std::fabs(a[i]));
  for (int sweep = 0; sweep < 30; ++sweep) {  // converges quadratically: about 8 for any matrix of this size
    double rest = 0.0;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) rest = std::max(rest, std::fabs(a[p * n + q]));
    }
    if (rest <= total * 0x1p-60) break;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) small_linalg_detail::rotate(a, n, p, q);
    }
  }
  for (int i = 0; i < n; ++i) values[i] = a[i * n + i];
  std::sort(values, values + n);
}

// out = inverse of a [n, n] by Gauss-Jordan elimination with row exchanges; false if a is singular to rounding.
inline bool invert(const double* matrix, int n, double* out) {
  double a[kSmallMatrix * kSmallMatrix];
  std::copy(matrix, matrix + n * n, a);
  for (int i = 0; i < n * n; ++i) out[i] = i % (n + 1) == 0 ? 1.0 : 0.0;
  double largest = 0.0;
  for (int i = 0; i < n * n; ++i) largest = std::max(largest, std::fabs(a[i]));
  for (int col = 0; col < n; ++col) {
    int pivot = col;
    for (int row = col + 1; row < n; ++row) {
      if (std::fabs(a[row * n + col]) > std::fabs(a[pivot * n + col])) pivot = row;
    }
    if (!(std::fabs(a[pivot * n + col]) > largest * 0x1p-45)) return false;
    for (int k = 0; k < n; ++k) {
      std::swap(a[col * n + k], a[pivot * n + k]);
      std::swap(out[col * n + k], out[pivot * n + k]);
    }
    const double factor = 1.0 / a[col * n + col];
    for (int k = 0; k < n; ++k) {
      a[col * n + k] *= factor;
      out[col * n + k] *= factor;
    }
    for (int row = 0; row < n; ++row) {
      const double times = a[row * n + col];
      if (row == col || times == 0.0) continue;
      for (int k = 0; k < n; ++k) {
        a[row * n + k] -= times * a[col * n + k];
        out[row * n + k] -= times * out[col * n + k];
      }
    }
  }
  return true;
}

}  // namespace nvfp4cal
