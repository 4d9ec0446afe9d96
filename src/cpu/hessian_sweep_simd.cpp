// The Hessian-weighted search on SIMD lanes, one block a lane; all lanes share one Hessian. Targets without fused operations use the definition.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/hessian_sweep_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/hessian_prune-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD
#if HWY_NATIVE_FMA

template <int block>
bool exhaustive(const HessianPlan& plan, const HessianMatrix& hessian, const HessianRows& rows, uint8_t* codes) {
  return for_each_group<block>(plan, rows, codes, [&](const HessianGroup<block>& g) { return try_all<block>(plan, hessian, g); });
}

bool hessian_exhaustive(const HessianPlan& plan, const HessianMatrix& hessian, const HessianRows& rows, uint8_t* codes) {
  if (hessian.block == 32) return exhaustive<32>(plan, hessian, rows, codes);
  return exhaustive<16>(plan, hessian, rows, codes);
}

template <int block>
bool pruned(const HessianIntegerKernels* integers, const HessianPlan& plan, const HessianMatrix& hessian, const HessianRows& rows,
            uint8_t* codes) {
  return for_each_group<block>(plan, rows, codes, [&](const HessianGroup<block>& g) {
    PrunedSearch<block> search(integers, plan, hessian, g);
    return search.run();
  });
}

// What has no proof is tried out: an indefinite H, a window (whose codes are few).
bool hessian_sweep_with(const HessianIntegerKernels* integers, const HessianPlan& plan, const HessianMatrix& hessian,
                        const HessianRows& rows, uint8_t* codes) {
  if (!hessian.bound.usable || plan.sweep.has_window || !plan.exact_quotients) return hessian_exhaustive(plan, hessian, rows, codes);
  if (hessian.block == 32) return pruned<32>(nullptr, plan, hessian, rows, codes);
  return pruned<16>(integers, plan, hessian, rows, codes);
}

bool hessian_sweep(const HessianPlan& plan, const HessianMatrix& hessian, const HessianRows& rows, uint8_t* codes) {
  return hessian_sweep_with(nullptr, plan, hessian, rows, codes);
}

#endif

void fill_hessian_sweep_kernels(Kernels& kernels) {
#if HWY_NATIVE_FMA
  kernels.hessian_exhaustive = hessian_exhaustive;
  kernels.hessian_sweep = hessian_sweep;
#else
  (void)kernels;
#endif
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
