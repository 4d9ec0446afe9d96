// Marks functions that CUDA kernels and the host share.
#pragma once

#if defined(__CUDACC__)
#define NVFP4CAL_HD __host__ __device__
#define NVFP4CAL_UNROLL _Pragma("unroll")
#define NVFP4CAL_NO_UNROLL _Pragma("unroll 1")
#else
#define NVFP4CAL_HD
#define NVFP4CAL_UNROLL
#define NVFP4CAL_NO_UNROLL
#endif

namespace nvfp4cal::num {

// Memory is read anew after this: what all turns of a loop read is not kept in a device's registers, which would be too few.
NVFP4CAL_HD inline void read_anew() {
#if defined(__CUDA_ARCH__)
  asm volatile("" ::: "memory");
#endif
}

}  // namespace nvfp4cal::num
