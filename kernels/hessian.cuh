// X^T X of rows in float64. Products of float32 values are exact there; a sum takes the rows of its part in order, then the parts are added in order.
#pragma once

#include "core/device_ops.h"
#include "kernels/atomics.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"

namespace nvfp4cal::cuda {

// A part of the rows for one pair of tiles of 32 columns: a block of threads has 32 x 32 sums, 4 of each thread.
struct OuterProducts {
  static constexpr int kThreads = 256;
  static constexpr int kTile = 32;
  static constexpr int kRows = 32;  // in shared memory at a time
  static constexpr int kSums = kTile * kTile / kThreads;
  struct Shared {
    float up[kRows][kTile], across[kRows][kTile];
  };
  struct Thread {
    double sums[kSums];
  };
  TensorView x;
  int64_t rows, cols;
  HessianLayout layout;
  int block;
  int64_t part_rows, tiles, size;  // rows of a part; tiles of a row of columns; elements of the sums
  double* sums;                    // [parts, size]
  DeviceCheck* check;

  NVFP4CAL_HD int phases() const { return 2 * static_cast<int>(ceil_div(part_rows, kRows)); }

  // Which tiles a block of threads has. Columns meet their own tile alone, but in a full matrix, whose bands begin at their own first column.
  struct Place {
    int64_t part, up, across;
  };
  NVFP4CAL_HD Place place_of(int64_t index) const {
    if (layout != HessianLayout::kFull) return {index / tiles, index % tiles, index % tiles};
    const int64_t pair = index % (tiles * tiles);
    return {index / (tiles * tiles), pair / tiles, pair % tiles};
  }

  NVFP4CAL_HD bool is_left_out(const Place& place) const {
    return (place.across + 1) * kTile <= place.up * kTile / kHessianBand * kHessianBand;
  }

  NVFP4CAL_HD void phase(int phase, const Index& index, Shared& shared, Thread& thread) const {
    const Place place = place_of(index.block);
    if (is_left_out(place)) return;
    const int64_t first = place.part * part_rows + phase / 2 * kRows;
    const int64_t last = (place.part + 1) * part_rows < rows ? (place.part + 1) * part_rows : rows;
    if (phase % 2 == 0) {
      load(place.up, first, last, index.thread, shared.up, place.across == place.up);
      if (place.across != place.up) load(place.across, first, last, index.thread, shared.across, true);
      return;
    }
    add(index.thread, last - first < kRows ? last - first : kRows, shared.up, place.across == place.up ? shared.up : shared.across, thread);
    if (phase + 1 == phases()) store(place, index.thread, thread);
  }

 private:
  NVFP4CAL_HD void load(int64_t tile, int64_t first, int64_t last, int thread, float (&to)[kRows][kTile], bool checks) const {
    for (int i = thread; i < kRows * kTile; i += kThreads) {
      const int64_t row = first + i / kTile, column = tile * kTile + i % kTile;
      const bool inside = row < last && column < cols;
      const float value = inside ? value_at(x, row * cols + column) : 0.0f;
      if (checks && !num::is_finite(value)) keep_min(&check->first_bad, static_cast<uint64_t>(row * cols + column));
      to[i / kTile][i % kTile] = value;
    }
  }
  // Thread t has column t % 32 of `across` and columns t / 32 + 8 k of `up`.
  NVFP4CAL_HD void add(int t, int64_t count, const float (&up)[kRows][kTile], const float (&across)[kRows][kTile], Thread& thread) const {
    for (int64_t r = 0; r < count; ++r) {
      const double right = across[r][t % kTile];
      for (int k = 0; k < kSums; ++k) thread.sums[k] += static_cast<double>(up[r][t / kTile + k * (kThreads / kTile)]) * right;
    }
  }
  NVFP4CAL_HD void store(const Place& place, int t, const Thread& thread) const {
    for (int k = 0; k < kSums; ++k) {
      const int64_t row = place.up * kTile + t / kTile + k * (kThreads / kTile), column = place.across * kTile + t % kTile;
      const int64_t at = row < cols && column < cols ? offset_in_sums(row, column) : -1;
      if (at >= 0) sums[place.part * size + at] = thread.sums[k];
    }
  }
  // -1: not kept.
  NVFP4CAL_HD int64_t offset_in_sums(int64_t row, int64_t column) const {
    if (layout == HessianLayout::kDiagonal) return row == column ? row : -1;
    if (layout == HessianLayout::kBlocks) return row / block == column / block ? row * block + column % block : -1;
    const int64_t band = row / kHessianBand * kHessianBand;
    return column >= band ? hessian_band_offset(cols, band) + (row - band) * (cols - band) + (column - band) : -1;
  }
};

// Sums of the parts, in order.
struct JoinParts {
  static constexpr int kThreads = 256;
  const double* parts;
  int64_t count, size;
  double* sums;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t i = index.block * kThreads + index.thread;
    if (i >= size) return;
    double sum = parts[i];
    for (int64_t p = 1; p < count; ++p) sum += parts[p * size + i];
    sums[i] = sum;
  }
};

}  // namespace nvfp4cal::cuda
