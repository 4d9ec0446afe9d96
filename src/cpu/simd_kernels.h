// What each SIMD file adds to the table of its target; defined once per target in the namespace that Highway names.
#pragma once

#include "cpu/kernels.h"

#define NVFP4CAL_DECLARE_KERNELS(target_namespace)   \
  namespace nvfp4cal::cpu::target_namespace {        \
  void fill_sweep_kernels(Kernels& kernels);         \
  void fill_convert_kernels(Kernels& kernels);       \
  void fill_block_kernels(Kernels& kernels);         \
  void fill_block_search_kernels(Kernels& kernels);  \
  void fill_block_hessian_kernels(Kernels& kernels); \
  void fill_pack_kernels(Kernels& kernels);          \
  void fill_fake_kernels(Kernels& kernels);          \
  void fill_measure_kernels(Kernels& kernels);       \
  void fill_hessian_kernels(Kernels& kernels);       \
  void fill_hessian_sweep_kernels(Kernels& kernels); \
  void fill_error_kernels(Kernels& kernels);         \
  void fill_range_kernels(Kernels& kernels);         \
  void fill_linalg_kernels(Kernels& kernels);        \
  void fill_gptq_kernels(Kernels& kernels);          \
  }

#if defined(__x86_64__) || defined(__i386__)
NVFP4CAL_DECLARE_KERNELS(N_AVX3)
NVFP4CAL_DECLARE_KERNELS(N_AVX2)
NVFP4CAL_DECLARE_KERNELS(N_SSE4)

namespace nvfp4cal::cpu {
struct HessianIntegerKernels;
namespace N_AVX3 {
// integers: of blocks of 16, NULL: none.
bool hessian_sweep_with(const HessianIntegerKernels* integers, const HessianPlan& plan, const HessianMatrix& hessian,
                        const HessianRows& rows, uint8_t* codes);
}  // namespace N_AVX3
}  // namespace nvfp4cal::cpu
namespace nvfp4cal::cpu::N_AVX3_DL {
void fill_integer_sweep_kernels(Kernels& kernels);
void fill_hessian_sweep_kernels(Kernels& kernels);
void fill_pack_kernels(Kernels& kernels);
}  // namespace nvfp4cal::cpu::N_AVX3_DL
namespace nvfp4cal::cpu::N_AVX2 {
void fill_integer_sweep_kernels(Kernels& kernels);
}
#elif defined(__aarch64__)
NVFP4CAL_DECLARE_KERNELS(N_NEON)
#endif
