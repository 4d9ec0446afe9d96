// Histogram of the largest magnitudes of blocks over bins whose edges are float32 numbers.
#pragma once

#include <type_traits>

#include "core/device_ops.h"
#include "kernels/amax.cuh"

namespace nvfp4cal::cuda {

// Blocks of rows of `cols` elements; a row's last one may be short. A thread takes one block after the other; counts are integers, so that their
// order does not matter. A block of threads counts in its own memory where the bins fit into it.
template <class Reader>
struct Histogram {
  static constexpr int kThreads = 256;
  static constexpr int kSharedBins = 4096;
  static constexpr int64_t kPerThread = 16;
  struct Shared {
    uint32_t counts[kSharedBins];
    uint32_t largest;
  };
  struct Thread {};
  Reader x;  // AnyReader where rows have a short last block
  int block;
  int64_t cols, blocks_per_row, all_blocks;
  const uint32_t* edges;
  int64_t bins;
  int64_t* counts;
  uint32_t* largest;
  DeviceCheck* check;

  NVFP4CAL_HD int phases() const { return 3; }

  NVFP4CAL_HD void phase(int phase, const Index& index, Shared& shared, Thread&) const {
    const bool fits = bins <= kSharedBins;
    if (phase == 0) {
      if (index.thread == 0) shared.largest = 0;
      for (int64_t i = index.thread; fits && i < bins; i += kThreads) shared.counts[i] = 0;
    } else if (phase == 1) {
      for (int64_t i = 0; i < kPerThread; ++i) {
        const int64_t b = (index.block * kPerThread + i) * kThreads + index.thread;
        if (b < all_blocks) count(b, fits, shared);
      }
    } else {
      if (index.thread == 0) keep_max(largest, shared.largest);
      for (int64_t i = index.thread; fits && i < bins; i += kThreads) {
        if (shared.counts[i] != 0) add(&counts[i], static_cast<int64_t>(shared.counts[i]));
      }
    }
  }

  NVFP4CAL_HD int64_t thread_blocks() const { return ceil_div(all_blocks, kThreads * kPerThread); }

 private:
  NVFP4CAL_HD void count(int64_t b, bool fits, Shared& shared) const {
    const uint32_t bits = amax_of(b);
    if (bits == 0) return;
    keep_max(&shared.largest, bits);
    const int64_t bin = bin_of(bits);
    if (fits) {
      add(&shared.counts[bin], 1u);
    } else {
      add(&counts[bin], int64_t{1});
    }
  }
  NVFP4CAL_HD uint32_t amax_of(int64_t b) const {
    int64_t start = b * block, n = block;
    if constexpr (std::is_same_v<Reader, AnyReader>) {
      const int64_t column = b % blocks_per_row * block;
      start = b / blocks_per_row * cols + column;
      n = cols - column < block ? cols - column : block;
    }
    uint32_t bits = 0;
    for (int64_t i = 0; i < n; i += 8) {
      const int64_t flat = start + i;
      float values[8];
      if constexpr (std::is_same_v<Reader, AnyReader>) {
        for (int k = 0; k < 8; ++k) values[k] = i + k < n ? value_at(x.view, flat + k) : 0.0f;
      } else {
        x.read(flat, values);
      }
      const uint32_t here = max_bits_of_8(values, flat, check);
      bits = here > bits ? here : bits;
    }
    return bits;
  }
  // How many edges are at or below the value.
  NVFP4CAL_HD int64_t bin_of(uint32_t bits) const {
    int64_t low = 0, high = bins - 1;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (edges[middle] <= bits) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

}  // namespace nvfp4cal::cuda
