// Which SIMD targets this machine runs, best first, and their tables.
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "core/backends.h"
#include "cpu/simd_kernels.h"
#include "cpu/targets.h"

namespace nvfp4cal {
namespace cpu {

namespace {

using Fill = void (*)(Kernels&);

Kernels table_of(const char* name, std::initializer_list<Fill> fills) {
  Kernels kernels = scalar_kernels();
  kernels.name = name;
  for (const Fill fill : fills) fill(kernels);
  return kernels;
}

// The kernels that every SIMD target has.
#define NVFP4CAL_FILLS(ns)                                                                                                                \
  ns::fill_sweep_kernels, ns::fill_convert_kernels, ns::fill_block_kernels, ns::fill_pack_kernels, ns::fill_fake_kernels,                 \
      ns::fill_measure_kernels, ns::fill_hessian_kernels, ns::fill_hessian_sweep_kernels, ns::fill_error_kernels, ns::fill_range_kernels, \
      ns::fill_linalg_kernels, ns::fill_gptq_kernels, ns::fill_block_search_kernels, ns::fill_block_hessian_kernels

std::vector<Kernels> make_tables() {
  std::vector<Kernels> tables;
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("aes") &&
                    __builtin_cpu_supports("pclmul");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
                    __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bitalg") &&
                    __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("gfni") && __builtin_cpu_supports("vpclmulqdq");
  const bool sse4 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
  if (vnni)
    tables.push_back(table_of("avx512_vnni", {NVFP4CAL_FILLS(N_AVX3), N_AVX3_DL::fill_integer_sweep_kernels,
                                              N_AVX3_DL::fill_hessian_sweep_kernels, N_AVX3_DL::fill_pack_kernels}));
  if (avx512) tables.push_back(table_of("avx512", {NVFP4CAL_FILLS(N_AVX3)}));
  if (avx2) tables.push_back(table_of("avx2", {NVFP4CAL_FILLS(N_AVX2), N_AVX2::fill_integer_sweep_kernels}));
  if (sse4) tables.push_back(table_of("sse4", {NVFP4CAL_FILLS(N_SSE4)}));
#elif defined(__aarch64__)
  tables.push_back(table_of("neon", {NVFP4CAL_FILLS(N_NEON)}));
#endif
  tables.push_back(scalar_kernels());
  return tables;
}

const std::vector<Kernels>& tables() {
  static const std::vector<Kernels> all = make_tables();
  return all;
}

}  // namespace

const Kernels& kernels_of(const Execution& execution) {
  const int index = execution.cpu_target() >= 0 ? execution.cpu_target() : default_cpu_target();
  return tables()[static_cast<size_t>(index)];
}

}  // namespace cpu

int cpu_target_count() { return static_cast<int>(cpu::tables().size()); }

const char* cpu_target_name(int index) { return cpu::tables()[static_cast<size_t>(index)].name; }

int cpu_target_index(const char* name) {
  for (int i = 0; i < cpu_target_count(); ++i) {
    if (std::strcmp(name, cpu_target_name(i)) == 0) return i;
  }
  return -1;
}

int default_cpu_target() {
  static const int chosen = [] {
    const char* name = std::getenv("NVFP4CAL_CPU_TARGET");
    const int index = name ? cpu_target_index(name) : -1;
    return index >= 0 ? index : 0;
  }();
  return chosen;
}

}  // namespace nvfp4cal
