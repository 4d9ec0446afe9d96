#include "cpu/cholesky.h"

#include <algorithm>
#include <cmath>

namespace nvfp4cal::cpu {

namespace {

constexpr int64_t kTileSize = kTile * kTile;

void transpose_tile(const double* from, double* to) {
  for (int64_t i = 0; i < kTile; ++i) {
    for (int64_t j = 0; j < kTile; ++j) to[j * kTile + i] = from[i * kTile + j];
  }
}

// c = a^T b of tiles
void multiply_into(const Kernels& kernels, const double* a, const double* b, double* c) {
  std::fill_n(c, kTileSize, 0.0);
  kernels.multiply_f64({a, kTile, b, kTile, kTile, kTile, c, kTile, false});
}

}  // namespace

void invert_upper(const double* u, int64_t n, double* out) {
  std::fill_n(out, n * n, 0.0);
  for (int64_t j = n - 1; j >= 0; --j) {
    // row j of the inverse: from the rows below, which are done
    double* const row = out + j * n;
    for (int64_t k = j + 1; k < n; ++k) {
      const double times = u[j * n + k];
      for (int64_t i = k; i < n; ++i) row[i] -= times * out[k * n + i];
    }
    const double factor = 1.0 / u[j * n + j];
    for (int64_t i = j + 1; i < n; ++i) row[i] *= factor;
    row[j] = factor;
  }
}

// Left-looking: a row of tiles takes all products with the rows above at once, then the inverse of its diagonal tile.
CholeskyFactor::CholeskyFactor(const Execution& execution, const Kernels& kernels, UpperPanels<double> matrix)
    : kernels_(kernels), upper_(std::move(matrix)), inverses_(static_cast<size_t>(upper_.panels() * kTileSize)) {
  double largest = 0.0;
  for (int64_t i = 0; i < upper_.size(); ++i) largest = std::max(largest, upper_.at(i, i));
  const double smallest = largest * static_cast<double>(upper_.size()) * 0x1p-50;
  for (int64_t p = 0; p < upper_.panels(); ++p) {
    const double* const own = upper_.row(p, 0);
    kernels_.multiply_f64({own, kTile, own, kTile, p * kTile, kTile, upper_.row(p, p * kTile), kTile, true});
    if (!factor_tile(p, smallest)) return;
    const double* const inverse = inverses_.data() + p * kTileSize;
    execution.parallel_for(upper_.panels() - p - 1, [&](int64_t i) {
      const int64_t right = p + 1 + i;
      double* const tile = upper_.row(right, p * kTile);
      kernels_.multiply_f64({own, kTile, upper_.row(right, 0), kTile, p * kTile, kTile, tile, kTile, true});
      std::vector<double> copy(tile, tile + kTileSize);
      multiply_into(kernels_, inverse, copy.data(), tile);
    });
  }
}

bool CholeskyFactor::factor_tile(int64_t panel, double smallest) {
  double* const tile = upper_.row(panel, panel * kTile);
  for (int64_t k = 0; k < kTile; ++k) {
    double* const row = tile + k * kTile;
    const double pivot = row[k];
    if (!(pivot > smallest)) {
      failed_ = panel * kTile + k;
      failed_pivot_ = pivot;
      return false;
    }
    const double root = std::sqrt(pivot), factor = 1.0 / root;
    std::fill_n(row, k, 0.0);
    row[k] = root;
    for (int64_t j = k + 1; j < kTile; ++j) row[j] *= factor;
    for (int64_t i = k + 1; i < kTile; ++i) {
      const double times = row[i];
      double* const below = tile + i * kTile;
      for (int64_t j = i; j < kTile; ++j) below[j] -= times * row[j];
    }
  }
  invert_upper(tile, kTile, inverses_.data() + panel * kTileSize);
  return true;
}

// x U^T U = b: z U = ... in two sweeps, z = b U^-1 from the first column on, x = z U^-T from the last one back.
void CholeskyFactor::solve(double* x) const {
  std::vector<double> solved(static_cast<size_t>(kTileSize)), turned(static_cast<size_t>(kTileSize));
  for (int64_t p = 0; p < upper_.panels(); ++p) {
    double* const here = x + p * kTileSize;
    kernels_.multiply_f64({upper_.row(p, 0), kTile, x, kTile, p * kTile, kTile, here, kTile, true});
    multiply_into(kernels_, inverses_.data() + p * kTileSize, here, solved.data());
    std::copy(solved.begin(), solved.end(), here);
  }
  for (int64_t p = upper_.panels() - 1; p >= 0; --p) {
    double* const here = x + p * kTileSize;
    for (int64_t right = p + 1; right < upper_.panels(); ++right) {
      transpose_tile(upper_.row(right, p * kTile), turned.data());
      kernels_.multiply_f64({turned.data(), kTile, x + right * kTileSize, kTile, kTile, kTile, here, kTile, true});
    }
    transpose_tile(inverses_.data() + p * kTileSize, turned.data());
    multiply_into(kernels_, turned.data(), here, solved.data());
    std::copy(solved.begin(), solved.end(), here);
  }
}

}  // namespace nvfp4cal::cpu
