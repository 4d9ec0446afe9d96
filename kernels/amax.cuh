// Largest magnitudes: of long runs of elements that share a group, of blocks, and of elements of any groups.
#pragma once

#include "core/device_ops.h"
#include "kernels/atomics.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"

namespace nvfp4cal::cuda {

// Group of a flat index: sum over dimensions of position * stride.
struct Groups {
  int ndim;
  int64_t shape[kMaxNdim], strides[kMaxNdim];

  NVFP4CAL_HD int64_t of(int64_t flat) const {
    int64_t group = 0;
    for (int d = ndim - 1; d >= 0; --d) {
      group += flat % shape[d] * strides[d];
      flat /= shape[d];
    }
    return group;
  }
};

// The largest magnitude of 8 elements, as bits.
NVFP4CAL_HD inline uint32_t max_bits_of_8(const float* x) {
  uint32_t largest = 0;
  NVFP4CAL_UNROLL
  for (int i = 0; i < 8; ++i) {
    const uint32_t bits = num::bits_of(x[i]) & num::kAbsMask;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

// The same; where one is not finite, the first such index is kept.
NVFP4CAL_HD inline uint32_t max_bits_of_8(const float* x, int64_t flat, DeviceCheck* check) {
  const uint32_t largest = max_bits_of_8(x);
  if (largest < num::kInfBits) return largest;
  int first = 0;
  for (int i = 7; i >= 0; --i) first = num::is_finite(x[i]) ? first : i;
  keep_min(&check->first_bad, static_cast<uint64_t>(flat + first));
  return largest;
}

// Runs of `length` elements, each of one group. A block of threads takes one segment of one run. `length` is a multiple of 8, or there is one run.
template <class Reader>
struct RunMax {
  static constexpr int kThreads = 256;
  static constexpr int kLoads = 4;                                     // of 8 elements, of a thread
  static constexpr int64_t kSegment = int64_t{kThreads} * 8 * kLoads;  // elements
  Reader x;
  TensorView view;
  Groups groups;
  int64_t length;
  int64_t segments;  // of a run
  bool is_one_run;   // whose group is 0: nothing to divide by
  uint32_t* maxima;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t start = is_one_run ? 0 : index.block / segments * length;
    const int64_t first = (is_one_run ? index.block : index.block % segments) * kSegment;
    const uint32_t largest =
        Reader::kIsPacked && length - first >= kSegment ? max_of_all(start + first, index.thread) : max_of_some(start, first, index.thread);
    warp_keep_max(&maxima[is_one_run ? 0 : groups.of(start)], largest);
  }

 private:
  // Of a whole segment: all loads are on their way before the first is used.
  NVFP4CAL_HD uint32_t max_of_all(int64_t first, int thread) const {
    float values[kLoads][8];
    NVFP4CAL_UNROLL
    for (int k = 0; k < kLoads; ++k) x.read(first + (k * kThreads + thread) * 8, values[k]);
    uint32_t largest = 0;
    NVFP4CAL_UNROLL
    for (int k = 0; k < kLoads; ++k) {
      const uint32_t bits = max_bits_of_8(values[k]);
      largest = bits > largest ? bits : largest;
    }
    if (largest < num::kInfBits) return largest;
    NVFP4CAL_NO_UNROLL
    for (int k = 0; k < kLoads; ++k) {
      float again[8];
      x.read(first + (k * kThreads + thread) * 8, again);
      max_bits_of_8(again, first + (k * kThreads + thread) * 8, check);
    }
    return largest;
  }

  NVFP4CAL_HD uint32_t max_of_some(int64_t start, int64_t first, int thread) const {
    const int64_t end = first + kSegment < length ? first + kSegment : length;
    uint32_t largest = 0;
    NVFP4CAL_NO_UNROLL
    for (int64_t at = first + thread * 8; at < end; at += kThreads * 8) {
      float values[8];
      if (at + 8 <= end) {
        x.read(start + at, values);
      } else {
        for (int i = 0; i < 8; ++i) values[i] = at + i < end ? value_at(view, start + at + i) : 0.0f;
      }
      const uint32_t bits = max_bits_of_8(values, start + at, check);
      largest = bits > largest ? bits : largest;
    }
    return largest;
  }
};

// The same for blocks of `block` elements, which lie side by side: a thread takes one.
template <class Reader>
struct BlockMax {
  static constexpr int kThreads = 256;
  Reader x;
  int block;
  int64_t blocks;
  uint32_t* maxima;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t b = index.block * kThreads + index.thread;
    if (b >= blocks) return;
    uint32_t largest = maxima[b];
    for (int i = 0; i < block; i += 8) {
      float values[8];
      x.read(b * block + i, values);
      const uint32_t bits = max_bits_of_8(values, b * block + i, check);
      largest = bits > largest ? bits : largest;
    }
    maxima[b] = largest;
  }
};

// Elements of any groups. A thread takes one column of some rows, so that neighbours read neighbours.
struct ColumnMax {
  static constexpr int kThreads = 256;
  static constexpr int64_t kRows = 64;
  TensorView x;
  int64_t elements, cols;
  Groups groups;
  uint32_t* maxima;
  DeviceCheck* check;

  NVFP4CAL_HD int64_t threads() const { return ceil_div(elements / cols, kRows) * cols; }

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t t = index.block * kThreads + index.thread;
    if (t >= threads()) return;
    const int64_t column = t % cols, first = t / cols * kRows, rows = elements / cols;
    const int64_t end = first + kRows < rows ? first + kRows : rows;
    int64_t group = groups.of(first * cols + column);
    uint32_t largest = 0;
    for (int64_t row = first; row < end; ++row) {
      const int64_t flat = row * cols + column, here = groups.of(flat);
      if (here != group) {
        keep_max(&maxima[group], largest);
        group = here;
        largest = 0;
      }
      const uint32_t bits = num::bits_of(value_at(x, flat)) & num::kAbsMask;
      if (bits >= num::kInfBits) keep_min(&check->first_bad, static_cast<uint64_t>(flat));
      largest = bits > largest ? bits : largest;
    }
    keep_max(&maxima[group], largest);
  }
};

}  // namespace nvfp4cal::cuda
