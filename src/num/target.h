// Marks functions that CUDA kernels and the host share.
#pragma once

#if defined(__CUDACC__)
#define NVFP4CAL_HD __host__ __device__
#else
#define NVFP4CAL_HD
#endif
