#include "sweep.h"

#include "sweep_device.cuh"
#include "sweep_exact.cuh"

namespace nvfp4cal::cuda {

namespace {

template <Dtype kDtype, int kBlock, bool kWeighted>
cudaError_t launch_exact(const SweepProblem& p, cudaStream_t stream) {
  using Search = LaneSearch<BlockSearch<kDtype, kBlock, kWeighted, ExactSearch<kBlock>>>;
  constexpr int kCtasPerSm = kBlock == 16 && !kWeighted ? 4 : 2;  // what their registers allow without spills
  return launch_search<Search, 256, kCtasPerSm>(p, stream);
}

template <Dtype kDtype, int kBlock>
cudaError_t launch_block(const SweepProblem& p, cudaStream_t stream) {
  return p.weights ? launch_exact<kDtype, kBlock, true>(p, stream) : launch_exact<kDtype, kBlock, false>(p, stream);
}

template <Dtype kDtype>
cudaError_t launch_dtype(const SweepProblem& p, cudaStream_t stream) {
  return p.block == 16 ? launch_block<kDtype, 16>(p, stream) : launch_block<kDtype, 32>(p, stream);
}

}  // namespace

cudaError_t launch_sweep(const SweepLaunch& launch, cudaStream_t stream) {
  if (launch.block != 16 && launch.block != 32) return cudaErrorInvalidValue;
  cudaError_t error = cudaMemsetAsync(launch.findings, 0xFF, sizeof *launch.findings, stream);
  if (error != cudaSuccess || launch.slices <= 0 || launch.blocks_per_slice <= 0) return error;
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
  switch (launch.dtype) {
    case Dtype::kF32: return launch_dtype<Dtype::kF32>(p, stream);
    case Dtype::kBf16: return launch_dtype<Dtype::kBf16>(p, stream);
    case Dtype::kF16: return launch_dtype<Dtype::kF16>(p, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace nvfp4cal::cuda
