// kernels/sweep_device.cuh for the emulated device: the same thread blocks and warps, one after the other.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <memory>

#include "kernels/sweep_lanes.cuh"
#include "support/host_grid.h"

namespace nvfp4cal::cuda {

template <class Search, int kThreads, int kCtasPerSm>
cudaError_t launch_search(const SweepProblem& p, cudaStream_t stream) {
  constexpr int64_t kProcessors = 2;
  const int64_t useful = (units_per_slice(p) * p.slices + kThreads / kWarp - 1) / (kThreads / kWarp);
  const int64_t ctas = std::min(useful, kProcessors * kCtasPerSm);
  fake_cuda::enqueue(stream, [p, ctas](bool backwards) {
    const auto shared = std::make_unique<typename Search::Shared>();
    for (int64_t i = 0; i < ctas; ++i) {
      test::HostCta<typename Search::Lane, kThreads> cta(backwards ? ctas - 1 - i : i, ctas);
      sweep_cta<Search>(cta, p, *shared);
    }
  });
  return cudaGetLastError();
}

}  // namespace nvfp4cal::cuda
