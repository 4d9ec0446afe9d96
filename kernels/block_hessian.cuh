// Single-level block quantization where errors are weighed by Hessians (docs/numerics.md 8). Block b has number b % columns: warps take blocks of one column,
// so that their threads read the same elements of the same matrix.
#pragma once

#include "kernels/blocks.cuh"
#include "kernels/hessian_check.cuh"
#include "kernels/sweep_lanes.cuh"
#include "num/block_hessian.h"

namespace nvfp4cal::cuda {

// All that is known of the Hessians of a call.
struct BlockHessians {
  const double* values;  // [columns, n, n]
  int64_t columns;
  double* floors;      // [columns]
  double* normalized;  // NULL, or for ADMM [columns, n, n]
  double* inverses;    // likewise

  NVFP4CAL_HD num::BlockHessian of(int64_t column, int n) const {
    const int64_t at = column * n * n;
    return {values + at, floors[column], normalized ? normalized + at : nullptr, inverses ? inverses + at : nullptr};
  }
};

// The threads of a thread block as lanes (num/small_linalg.h).
template <class Cta>
struct CtaLanes {
  Cta& cta;

  template <class Body>
  NVFP4CAL_HD void each(int n, Body&& body) const {
    cta.each([&](int i) {
      if (i < n) body(i);
    });
  }
  template <class Read>
  NVFP4CAL_HD auto agreed(Read&& read) const {
    const auto value = read();
    cta.each([](int) {});
    return value;
  }
};

// One thread block a matrix, one thread a row: floors, and what ADMM needs. For sweep_device.cuh's launch_job.
struct PrepareHessians {
  static constexpr int kThreads = num::kSmallMatrix, kCtasPerSm = 1;
  struct Shared {
    double h[kThreads * kThreads], work[kThreads * kThreads], shifted[kThreads * kThreads];
  };
  struct Lane {};
  BlockHessians hessians;
  int n;
  DeviceCheck* check;  // closed

  template <class Cta>
  NVFP4CAL_HD void operator()(Cta& cta, Shared& shared) const {
    if (!is_clean(*check)) return;  // alike for all threads: faults are set by other kernels
    const CtaLanes<Cta> lanes{cta};
    const int64_t column = cta.index(), at = column * n * n;
    lanes.each(n, [&](int i) {
      for (int j = 0; j < n; ++j) shared.h[i * n + j] = hessians.values[at + i * n + j];
    });
    const double floor = num::error_floor(lanes, shared.h, n, shared.work);
    lanes.each(1, [&](int) { hessians.floors[column] = floor; });
    if (!hessians.normalized) return;
    const bool invertible =
        num::prepare_admm(lanes, shared.h, n, shared.work, shared.shifted, hessians.normalized + at, hessians.inverses + at);
    lanes.each(1, [&](int) {
      if (!invertible) note_hessian(*check, HessianFlaw::kSingular, column);
    });
  }
};

// A thread finds the scale of one block, and its levels.
template <int kBlock, bool kAdmm>
struct HessianBlockScales {
  static constexpr int kThreads = 128;
  TensorView x;
  int64_t rows;  // of blocks
  BlockHessians hessians;
  num::AdmmSteps steps;
  float* scales;
  FloatOutput quants, dequant;
  const DeviceCheck* check;

  NVFP4CAL_HD int64_t units() const { return ceil_div(rows, kWarp); }  // of a column
  NVFP4CAL_HD int64_t threads() const { return units() * kWarp * hessians.columns; }

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t t = index.block * kThreads + index.thread;
    const int64_t column = t / kWarp / units(), row = t / kWarp % units() * kWarp + t % kWarp;
    if (column >= hessians.columns || row >= rows || !is_clean(*check)) return;
    const int64_t b = row * hessians.columns + column;
    const num::BlockHessian hessian = hessians.of(column, kBlock);
    float values[kBlock], levels[kBlock];
    for (int i = 0; i < kBlock; ++i) values[i] = value_at(x, b * kBlock + i);
    float scale = 0.0f;
    if constexpr (kAdmm) {
      scale = num::admm<kBlock>(values, kBlock, hessian, steps, levels);
    } else {
      scale = num::hessian_scale<kBlock>(values, kBlock, hessian);
      for (int i = 0; i < kBlock; ++i) levels[i] = num::e2m1_level_ties_down(values[i], scale);
    }
    scales[b] = scale;
    for (int i = 0; i < kBlock; ++i) {
      quants.store(b * kBlock + i, levels[i]);
      dequant.store(b * kBlock + i, levels[i] * scale);
    }
  }
};

}  // namespace nvfp4cal::cuda
