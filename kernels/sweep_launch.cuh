// What the launches of searches have in common.
#pragma once

#include "sweep.h"
#include "sweep_problem.cuh"

namespace nvfp4cal::cuda {

inline bool is_sweep(const SweepLaunch& launch) {
  return (launch.block == 16 || launch.block == 32) &&
         (launch.dtype == Dtype::kF32 || launch.dtype == Dtype::kBf16 || launch.dtype == Dtype::kF16);
}

inline cudaError_t clear_findings(const SweepLaunch& launch, cudaStream_t stream) {
  static_assert(kNoneBad == ~0ull);
  return cudaMemsetAsync(launch.findings, 0xFF, sizeof *launch.findings, stream);
}

inline SweepProblem problem_of(const SweepLaunch& launch) {
  SweepProblem p = {};
  p.x = launch.x;
  p.dtype = launch.dtype;
  p.block = launch.block;
  p.normalization = launch.normalization;
  p.global_amax = launch.global_amax;
  p.slices = launch.slices;
  p.blocks_per_slice = launch.blocks_per_slice;
  p.has_window = launch.has_window;
  p.window_lo = launch.window_lo;
  p.window_hi = launch.window_hi;
  p.weights = launch.weights;
  p.weights_dtype = launch.weights_dtype;
  p.weight_blocks = launch.weight_blocks;
  p.codes = launch.codes;
  p.first_bad = &launch.findings->first_bad;
  p.first_bad_weight = &launch.findings->first_bad_weight;
  return p;
}

}  // namespace nvfp4cal::cuda
