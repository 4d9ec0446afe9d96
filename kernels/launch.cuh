// How a kernel is written and started. A kernel is a functor, copied to the device. All of its work is in host and device functions: a build without a
// device runs the same blocks, threads and phases in loops (tests/device/fake_cuda).
//
//   struct Plain {                                    // every thread on its own
//     static constexpr int kThreads;                  // of a block
//     NVFP4CAL_HD void operator()(Index) const;
//   };
//   struct InPhases {                                 // with a barrier of the block between phases
//     static constexpr int kThreads;
//     struct Shared;                                  // memory of a block, not initialized
//     struct Thread;                                  // memory of a thread, zero at first
//     NVFP4CAL_HD int phases() const;                 // the same for all threads
//     NVFP4CAL_HD void phase(int, Index, Shared&, Thread&) const;
//   };
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "num/target.h"

#if !defined(__CUDACC__)
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/host_threads.cuh"
#endif

namespace nvfp4cal::cuda {

struct Index {
  int64_t block;
  int thread;
};

template <class Kernel>
concept HasPhases = requires {
  typename Kernel::Shared;
};

inline constexpr int64_t kMostBlocks = 0x7FFFFFFF;

namespace {

#if defined(__CUDACC__)
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads) run_kernel(const __grid_constant__ Kernel kernel) {
  const Index index{static_cast<int64_t>(blockIdx.x), static_cast<int>(threadIdx.x)};
  if constexpr (HasPhases<Kernel>) {
    __shared__ typename Kernel::Shared shared;
    typename Kernel::Thread thread = {};
    const int phases = kernel.phases();
    for (int phase = 0; phase < phases; ++phase) {
      if (phase > 0) __syncthreads();
      kernel.phase(phase, index, shared, thread);
    }
  } else {
    kernel(index);
  }
}
#else
// Memory of a thread block as it is found: in no state that anything may rely on.
template <class Shared>
std::unique_ptr<Shared> shared_memory() {
  std::unique_ptr<Shared> memory(new Shared);
  std::memset(static_cast<void*>(memory.get()), 0xFF, sizeof(Shared));  // NaN, or the largest index
  return memory;
}

template <class Kernel>
void run_block(const Kernel& kernel, int64_t block, bool backwards) {
  const auto for_each_thread = [&](auto&& body) {
    HostThreads::of(block).each(0, Kernel::kThreads, backwards, [&](int64_t thread) { body(Index{block, static_cast<int>(thread)}); });
  };
  if constexpr (HasPhases<Kernel>) {
    const auto shared = shared_memory<typename Kernel::Shared>();
    std::vector<typename Kernel::Thread> own(static_cast<size_t>(Kernel::kThreads));
    for (int phase = 0; phase < kernel.phases(); ++phase) {
      for_each_thread([&](const Index& index) { kernel.phase(phase, index, *shared, own[static_cast<size_t>(index.thread)]); });
    }
  } else {
    for_each_thread([&](const Index& index) { kernel(index); });
  }
}

// Backwards shows what depends on an order that a device does not keep.
template <class Kernel>
void run_in_loops(const Kernel& kernel, int64_t blocks, bool backwards) {
  HostThreads::each_block(blocks, backwards, [&](int64_t block) { run_block(kernel, block, backwards); });
}
#endif

// Enqueues the kernel; no blocks are no work.
template <class Kernel>
cudaError_t launch(const Kernel& kernel, int64_t blocks, cudaStream_t stream) {
  static_assert(std::is_trivially_copyable_v<Kernel>);
  if (blocks <= 0) return cudaSuccess;
  if (blocks > kMostBlocks) return cudaErrorInvalidConfiguration;
#if defined(__CUDACC__)
  run_kernel<Kernel><<<static_cast<unsigned>(blocks), Kernel::kThreads, 0, stream>>>(kernel);
#else
  fake_cuda::enqueue(stream, blocks, kernel, [kernel, blocks](bool backwards) { run_in_loops(kernel, blocks, backwards); });
#endif
  return cudaGetLastError();
}

}  // namespace

NVFP4CAL_HD constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace nvfp4cal::cuda
