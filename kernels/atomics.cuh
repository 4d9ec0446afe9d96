// Combining what many threads find. All of these give the same result in any order.
#pragma once

#include <cstdint>

#include "num/target.h"

namespace nvfp4cal::cuda {

NVFP4CAL_HD inline void keep_max(uint32_t* at, uint32_t value) {
#if defined(__CUDA_ARCH__)
  // What is read may be older than what is there, and so smaller: no maximum is missed.
  if (value > *static_cast<volatile uint32_t*>(at)) atomicMax(at, value);
#else
  uint32_t found = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (value > found && !__atomic_compare_exchange_n(at, &found, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
#endif
}

NVFP4CAL_HD inline void keep_min(uint64_t* at, uint64_t value) {
#if defined(__CUDA_ARCH__)
  atomicMin(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value));
#else
  uint64_t found = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (value < found && !__atomic_compare_exchange_n(at, &found, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
#endif
}

NVFP4CAL_HD inline void add(uint32_t* at, uint32_t value) {
#if defined(__CUDA_ARCH__)
  atomicAdd(at, value);
#else
  __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
#endif
}

NVFP4CAL_HD inline void add(int64_t* at, int64_t value) {
#if defined(__CUDA_ARCH__)
  atomicAdd(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value));
#else
  __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
#endif
}

// keep_max of all 32 threads of a warp, which must all be here and mean the same place: one memory operation at most.
NVFP4CAL_HD inline void warp_keep_max(uint32_t* at, uint32_t value) {
#if defined(__CUDA_ARCH__)
  const uint32_t largest = __reduce_max_sync(0xFFFFFFFFu, value);
  if ((threadIdx.x & 31) == 0) keep_max(at, largest);
#else
  keep_max(at, value);
#endif
}

}  // namespace nvfp4cal::cuda
