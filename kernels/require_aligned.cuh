// What is read or written in one go lies at a multiple of its size: a device ends the context with an error where it does not, and hosts that would not notice
// stop here.
#pragma once

#include <cstdint>
#if !defined(__CUDACC__)
#include <cstdio>
#include <cstdlib>
#endif

#include "num/target.h"

namespace nvfp4cal::cuda {

template <uintptr_t kBytes>
NVFP4CAL_HD inline void require_aligned([[maybe_unused]] const void* at) {
#if !defined(__CUDACC__)
  if (reinterpret_cast<uintptr_t>(at) % kBytes == 0) return;
  std::fprintf(stderr, "fake CUDA: misaligned address\n");
  std::abort();
#endif
}

}  // namespace nvfp4cal::cuda
