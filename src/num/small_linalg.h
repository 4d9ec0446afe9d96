// Dense matrices of at most 32 rows in float64, row-major: what block Hessians need, on host and device. The same bits everywhere.
//
// Work is written in steps of rows: lanes.each(n, f) is f(0) .. f(n - 1) in any order or at once, then a barrier. lanes.agreed(f) is f() where all lanes
// compute it alike from memory that they share; nobody writes on before all have read.
#pragma once

#include <math.h>

#include "num/target.h"

namespace nvfp4cal::num {

inline constexpr int kSmallMatrix = 32;

// All lanes in turn: the host's, and those of one thread that works alone.
struct OneLane {
  template <class Body>
  NVFP4CAL_HD void each(int n, Body&& body) const {
    for (int i = 0; i < n; ++i) body(i);
  }
  template <class Read>
  NVFP4CAL_HD auto agreed(Read&& read) const {
    return read();
  }
};

namespace small_linalg_detail {

struct Rotation {
  double c, s;
};

// The Jacobi rotation that makes a[p][q] zero.
NVFP4CAL_HD inline Rotation rotation_of(double app, double aqq, double apq) {
  const double theta = (aqq - app) / (2.0 * apq);
  const double t = (theta < 0.0 ? -1.0 : 1.0) / (fabs(theta) + sqrt(theta * theta + 1.0));
  const double c = 1.0 / sqrt(t * t + 1.0);
  return {c, t * c};
}

template <class Lanes>
NVFP4CAL_HD void rotate(const Lanes& lanes, double* a, int n, int p, int q) {
  if (lanes.agreed([&] { return a[p * n + q] == 0.0; })) return;
  const Rotation r = lanes.agreed([&] { return rotation_of(a[p * n + p], a[q * n + q], a[p * n + q]); });
  lanes.each(n, [&](int k) {
    const double akp = a[k * n + p], akq = a[k * n + q];
    a[k * n + p] = r.c * akp - r.s * akq;
    a[k * n + q] = r.s * akp + r.c * akq;
  });
  lanes.each(n, [&](int k) {
    const double apk = a[p * n + k], aqk = a[q * n + k];
    a[p * n + k] = k == q ? 0.0 : r.c * apk - r.s * aqk;
    a[q * n + k] = k == p ? 0.0 : r.s * apk + r.c * aqk;
  });
}

// The largest magnitude of a [n, n].
NVFP4CAL_HD inline double largest_of(const double* a, int n) {
  double largest = 0.0;
  for (int i = 0; i < n * n; ++i) largest = largest < fabs(a[i]) ? fabs(a[i]) : largest;
  return largest;
}

// The same above the diagonal.
NVFP4CAL_HD inline double largest_above(const double* a, int n) {
  double largest = 0.0;
  for (int p = 0; p < n; ++p) {
    for (int q = p + 1; q < n; ++q) largest = largest < fabs(a[p * n + q]) ? fabs(a[p * n + q]) : largest;
  }
  return largest;
}

}  // namespace small_linalg_detail

// a [n, n] = the symmetric part of a matrix after cyclic Jacobi rotations: its eigenvalues, in no order, are the diagonal, with errors of a few n 2^-53 |a|.
template <class Lanes>
NVFP4CAL_HD void diagonalize(const Lanes& lanes, const double* matrix, int n, double* a) {
  lanes.each(n, [&](int i) {
    for (int j = 0; j < n; ++j) a[i * n + j] = 0.5 * (matrix[i * n + j] + matrix[j * n + i]);
  });
  const double total = lanes.agreed([&] { return small_linalg_detail::largest_of(a, n); });
  for (int sweep = 0; sweep < 30; ++sweep) {  // converges quadratically: about 8 for any matrix of this size
    const double rest = lanes.agreed([&] { return small_linalg_detail::largest_above(a, n); });
    if (rest <= total * 0x1p-60) break;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) small_linalg_detail::rotate(lanes, a, n, p, q);
    }
  }
}

// The least and the largest eigenvalue of the symmetric part of a matrix [n, n]; work: memory of n * n values.
struct EigenvalueRange {
  double least, largest;
};
template <class Lanes>
NVFP4CAL_HD EigenvalueRange eigenvalue_range(const Lanes& lanes, const double* matrix, int n, double* work) {
  diagonalize(lanes, matrix, n, work);
  return lanes.agreed([&] {
    EigenvalueRange range = {work[0], work[0]};
    for (int i = 1; i < n; ++i) {
      const double value = work[i * n + i];
      if (value < range.least) range.least = value;
      if (value > range.largest) range.largest = value;
    }
    return range;
  });
}

// out = inverse of a matrix [n, n] by Gauss-Jordan elimination with row exchanges; false if it is singular to rounding. a: memory of n * n values.
template <class Lanes>
NVFP4CAL_HD bool invert(const Lanes& lanes, const double* matrix, int n, double* a, double* out) {
  lanes.each(n, [&](int i) {
    for (int j = 0; j < n; ++j) {
      a[i * n + j] = matrix[i * n + j];
      out[i * n + j] = i == j ? 1.0 : 0.0;
    }
  });
  const double largest = lanes.agreed([&] { return small_linalg_detail::largest_of(a, n); });
  for (int col = 0; col < n; ++col) {
    const int pivot = lanes.agreed([&] {
      int best = col;
      for (int row = col + 1; row < n; ++row) best = fabs(a[row * n + col]) > fabs(a[best * n + col]) ? row : best;
      return best;
    });
    const double at_pivot = lanes.agreed([&] { return a[pivot * n + col]; });
    if (!(fabs(at_pivot) > largest * 0x1p-45)) return false;
    const double factor = 1.0 / at_pivot;
    lanes.each(n, [&](int k) {
      const double ours = a[pivot * n + k], inverse = out[pivot * n + k];
      a[pivot * n + k] = a[col * n + k];
      out[pivot * n + k] = out[col * n + k];
      a[col * n + k] = ours * factor;
      out[col * n + k] = inverse * factor;
    });
    lanes.each(n, [&](int row) {
      const double times = a[row * n + col];
      if (row == col || times == 0.0) return;
      for (int k = 0; k < n; ++k) {
        a[row * n + k] -= times * a[col * n + k];
        out[row * n + k] -= times * out[col * n + k];
      }
    });
  }
  return true;
}

}  // namespace nvfp4cal::num
