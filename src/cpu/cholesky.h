// Cholesky factors of symmetric positive definite matrices in float64, and what is solved with them. Blocked by tiles of 64; every element is summed in one
// order, whatever the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

// The upper triangle of a square matrix, by panels of 64 columns: panel p holds the rows 0 .. 64 (p + 1), row after row. n is a multiple of 64.
template <class T>
class UpperPanels {
 public:
  explicit UpperPanels(int64_t n) : n_(n), values_(static_cast<size_t>(offset(n / kTile))) {}

  int64_t size() const { return n_; }
  int64_t panels() const { return n_ / kTile; }
  T* row(int64_t panel, int64_t row) { return values_.data() + offset(panel) + row * kTile; }
  const T* row(int64_t panel, int64_t row) const { return values_.data() + offset(panel) + row * kTile; }
  // row <= col, or both in one tile
  T& at(int64_t row_index, int64_t col) { return row(col / kTile, row_index)[col % kTile]; }
  T at(int64_t row_index, int64_t col) const { return row(col / kTile, row_index)[col % kTile]; }

 private:
  static int64_t offset(int64_t panel) { return kTile * kTile * (panel * (panel + 1) / 2); }

  int64_t n_;
  std::vector<T> values_;
};

// A = U^T U with U upper triangular, in place of A's upper triangle; what lies below U's diagonal in its tiles is set to zero.
class CholeskyFactor {
 public:
  // Takes A. Returns what failed() tells.
  CholeskyFactor(const Execution& execution, const Kernels& kernels, UpperPanels<double> matrix);

  // The column whose pivot was not above n * 2^-50 times the largest diagonal element (A is not positive definite to rounding), or -1.
  int64_t failed() const { return failed_; }
  double failed_pivot() const { return failed_pivot_; }
  const UpperPanels<double>& upper() const { return upper_; }

  // Solves x A = b for 64 rows at once; rows lie as columns: x[column][64], in place.
  void solve(double* x) const;

 private:
  bool factor_tile(int64_t panel, double smallest);

  const Kernels& kernels_;
  UpperPanels<double> upper_;
  std::vector<double> inverses_;  // of the tiles on the diagonal, upper triangular, row-major
  int64_t failed_ = -1;
  double failed_pivot_ = 0.0;
};

// out = inverse of the upper triangular matrix u [n, n], row-major, upper triangular; nothing below the diagonal is read, zeros are written there.
void invert_upper(const double* u, int64_t n, double* out);

}  // namespace nvfp4cal::cpu
