// Starts thread blocks for code in phases (sweep_lanes.cuh): a device's own, or in a build against tests/device/fake_cuda the host's.
#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "kernels/launch.cuh"
#include "sweep_lanes.cuh"

#if !defined(__CUDACC__)
#include "host_grid.cuh"
#endif

namespace nvfp4cal::cuda {

inline constexpr int64_t kMostCtas = 0x7FFFFFFF;

// A job: struct with kThreads of a thread block, kCtasPerSm that a processor holds at a time, Shared (their shared memory), Lane (memory of a thread), and
// operator()(cta, shared), run by every thread block.
#if defined(__CUDACC__)

template <class Lane>
class DeviceWarp {
 public:
  __device__ DeviceWarp() : lane_() {}
  __device__ uint32_t index() const { return threadIdx.x / kWarp; }

  template <class Body>
  __device__ void each(Body&& body) {
    body(static_cast<int>(threadIdx.x % kWarp), lane_);
    __syncwarp();
  }

  template <class Pred>
  __device__ uint32_t ballot(Pred&& pred) {
    return __ballot_sync(~0u, pred(lane_));
  }

 private:
  Lane lane_;
};

template <class Lane, int kThreadCount>
class DeviceCta {
 public:
  static constexpr int kThreads = kThreadCount;
  __device__ uint32_t index() const { return blockIdx.x; }
  __device__ uint32_t count() const { return gridDim.x; }

  template <class Body>
  __device__ void each(Body&& body) {
    body(static_cast<int>(threadIdx.x));
    __syncthreads();
  }

  template <class Body>
  __device__ void each_warp(Body&& body) {
    DeviceWarp<Lane> warp;
    body(warp);
    __syncthreads();
  }
};

template <class Job>
__global__ void __launch_bounds__(Job::kThreads, Job::kCtasPerSm) run_job(const __grid_constant__ Job job) {
  extern __shared__ __align__(16) unsigned char memory[];
  DeviceCta<typename Job::Lane, Job::kThreads> cta;
  job(cta, *reinterpret_cast<typename Job::Shared*>(memory));
}

template <class Job>
cudaError_t launch_job(const Job& job, int64_t ctas, cudaStream_t stream) {
  static_assert(std::is_trivially_copyable_v<Job>);
  if (ctas > kMostCtas) return cudaErrorInvalidConfiguration;
  constexpr size_t kShared = sizeof(typename Job::Shared), kAlwaysAllowed = 48 * 1024;
  if (kShared > kAlwaysAllowed) {
    const cudaError_t error = cudaFuncSetAttribute(run_job<Job>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kShared));
    if (error != cudaSuccess) return error;
  }
  run_job<Job><<<static_cast<unsigned>(ctas), Job::kThreads, kShared, stream>>>(job);
  return cudaGetLastError();
}

#else

template <class Job>
cudaError_t launch_job(const Job& job, int64_t ctas, cudaStream_t stream) {
  static_assert(std::is_trivially_copyable_v<Job>);
  if (ctas > kMostCtas) return cudaErrorInvalidConfiguration;
  if (!fake_cuda::has_shared_memory(sizeof(typename Job::Shared))) return cudaErrorInvalidValue;
  fake_cuda::enqueue(stream, ctas, job, [job, ctas](bool backwards) {
    HostThreads::each_block(ctas, backwards, [&](int64_t index) {
      const auto shared = shared_memory<typename Job::Shared>();
      HostCta<typename Job::Lane, Job::kThreads> cta(static_cast<uint32_t>(index), static_cast<uint32_t>(ctas), backwards);
      job(cta, *shared);
    });
  });
  return cudaGetLastError();
}

#endif

template <class Search, class Problem, int kThreadCount, int kCtaCount>
struct SweepJob {
  static constexpr int kThreads = kThreadCount, kCtasPerSm = kCtaCount;
  using Shared = typename Search::Shared;
  using Lane = typename Search::Lane;
  Problem problem;

  template <class Cta>
  NVFP4CAL_HD void operator()(Cta& cta, Shared& shared) const {
    sweep_cta<Search>(cta, problem, shared);
  }
};

// As many thread blocks as the device holds at a time, no more than there is work for.
template <class Search, int kThreads, int kCtasPerSm, class Problem>
cudaError_t launch_search(const Problem& p, cudaStream_t stream) {
  const Segments segments = Search::segments(p);
  if (segments.count <= 0 || segments.blocks <= 0) return cudaSuccess;
  if (segments.units() > (kMaxUnits - 1) / segments.count) return cudaErrorInvalidValue;
  int device = 0, processors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (error != cudaSuccess) return error;
  const int64_t useful = (segments.units() * segments.count + kThreads / kWarp - 1) / (kThreads / kWarp);
  const int64_t fitting = int64_t{processors} * kCtasPerSm;
  return launch_job(SweepJob<Search, Problem, kThreads, kCtasPerSm>{p}, useful < fitting ? useful : fitting, stream);
}

}  // namespace nvfp4cal::cuda
