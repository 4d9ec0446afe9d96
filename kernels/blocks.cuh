// Single-level block quantization (docs/numerics.md 8) over views whose last dimension is the block.
#pragma once

#include "core/device_ops.h"
#include "kernels/check.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"
#include "num/block_scale.h"

namespace nvfp4cal::cuda {

// float32 of any strides; data NULL: nothing is kept.
struct FloatOutput {
  TensorView view{};

  NVFP4CAL_HD void store(int64_t flat, float value) const {
    if (view.data) static_cast<float*>(view.data)[offset_of(view, flat)] = value;
  }
};

// A thread finds the scale of one block, and its levels.
template <int kBlock>
struct BlockScales {
  static constexpr int kThreads = 128;
  TensorView x;
  int64_t blocks;
  bool optimal, search_noise;
  float* scales;
  FloatOutput quants, dequant;
  const DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t b = index.block * kThreads + index.thread;
    if (b >= blocks || !is_clean(*check)) return;
    float values[kBlock];
    for (int i = 0; i < kBlock; ++i) values[i] = value_at(x, b * kBlock + i);
    const float scale = optimal ? num::optimal_scale(values, kBlock, search_noise) : num::naive_scale(values, kBlock);
    scales[b] = scale;
    for (int i = 0; i < kBlock; ++i) {
      const float level = num::e2m1_level_ties_down(values[i], scale);
      quants.store(b * kBlock + i, level);
      dequant.store(b * kBlock + i, level * scale);
    }
  }
};

// Elements with given scales, a thread each; blocks of any extent.
struct BlockApply {
  static constexpr int kThreads = 256;
  TensorView x;
  int64_t elements, extent;
  const float* scales;
  int64_t scale_step;
  FloatOutput quants, dequant;  // of x as values, and of x as levels
  const DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t flat = index.block * kThreads + index.thread;
    if (flat >= elements || !is_clean(*check)) return;
    const float scale = num::abs_of(scales[flat / extent * scale_step]), value = value_at(x, flat);  // -0 is 0
    quants.store(flat, num::e2m1_level_ties_down(value, scale));
    dequant.store(flat, value * scale);
  }
};

// Errors of blocks with given scales, a thread a block.
struct BlockErrors {
  static constexpr int kThreads = 128;
  TensorView x;
  int64_t blocks, extent;
  const float* scales;
  int64_t scale_step;
  double* wide;   // NULL, or [blocks]
  float* narrow;  // likewise
  const DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t b = index.block * kThreads + index.thread;
    if (b >= blocks || !is_clean(*check)) return;
    const float scale = num::abs_of(scales[b * scale_step]);
    double error = 0.0;
    for (int64_t i = 0; i < extent; ++i) {
      const float value = value_at(x, b * extent + i);
      error = num::block_sse(&value, 1, scale, __builtin_huge_val(), error);
    }
    if (wide) wide[b] = error;
    if (narrow) narrow[b] = static_cast<float>(error);
  }
};

}  // namespace nvfp4cal::cuda
