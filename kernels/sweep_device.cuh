// Thread blocks and warps of a device for sweep_lanes.cuh.
#pragma once

#include "sweep_lanes.cuh"

namespace nvfp4cal::cuda {

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

template <class Search, class Problem, int kThreads, int kCtasPerSm>
__global__ void __launch_bounds__(kThreads, kCtasPerSm) sweep_kernel(const __grid_constant__ Problem p) {
  extern __shared__ __align__(16) unsigned char memory[];
  DeviceCta<typename Search::Lane, kThreads> cta;
  sweep_cta<Search>(cta, p, *reinterpret_cast<typename Search::Shared*>(memory));
}

// As many thread blocks as the device holds at a time, no more than there is work for.
template <class Search, int kThreads, int kCtasPerSm, class Problem>
cudaError_t launch_search(const Problem& p, cudaStream_t stream) {
  const Segments segments = Search::segments(p);
  if (segments.count <= 0 || segments.blocks <= 0) return cudaSuccess;
  if (segments.units() > (kMaxUnits - 1) / segments.count) return cudaErrorInvalidValue;
  int device = 0, processors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  const auto kernel = sweep_kernel<Search, Problem, kThreads, kCtasPerSm>;
  constexpr size_t kShared = sizeof(typename Search::Shared);
  if (error == cudaSuccess && kShared > 48 * 1024)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kShared));
  if (error != cudaSuccess) return error;
  const int64_t useful = (segments.units() * segments.count + kThreads / kWarp - 1) / (kThreads / kWarp);
  const int64_t fitting = int64_t{processors} * kCtasPerSm;
  kernel<<<static_cast<unsigned>(useful < fitting ? useful : fitting), kThreads, kShared, stream>>>(p);
  return cudaGetLastError();
}

}  // namespace nvfp4cal::cuda
