// How the sums of X^T X lie in memory, for the calibrator and the backends.
#pragma once

#include <cstdint>

#include "num/target.h"

namespace nvfp4cal {

enum class HessianLayout : int32_t { kBlocks = 0, kFull = 1, kDiagonal = 2 };

// A full matrix is symmetric: of each band of this many rows only the columns from the band's first one on are kept.
inline constexpr int64_t kHessianBand = 128;

// Where the band that begins with this row starts.
NVFP4CAL_HD constexpr int64_t hessian_band_offset(int64_t cols, int64_t first_row) {
  const int64_t bands = first_row / kHessianBand;
  return first_row * cols - kHessianBand * kHessianBand * (bands * (bands - 1) / 2);
}

// Elements of the sums: [cols / block, block, block], the bands, or [cols].
NVFP4CAL_HD constexpr int64_t hessian_size(HessianLayout layout, int64_t cols, int block) {
  if (layout == HessianLayout::kDiagonal) return cols;
  if (layout == HessianLayout::kBlocks) return cols * block;
  const int64_t last = cols > 0 ? (cols - 1) / kHessianBand * kHessianBand : 0;
  return hessian_band_offset(cols, last) + (cols - last) * (cols - last);
}

// Where the sum of squares of a column lies.
NVFP4CAL_HD constexpr int64_t hessian_diagonal(HessianLayout layout, int64_t cols, int block, int64_t col) {
  if (layout == HessianLayout::kDiagonal) return col;
  if (layout == HessianLayout::kBlocks) return col * block + col % block;
  const int64_t first = col / kHessianBand * kHessianBand;
  return hessian_band_offset(cols, first) + (col - first) * (cols - first + 1);
}

}  // namespace nvfp4cal
