// The search on SIMD lanes, one block a lane. Per candidate: approximate quotients, exact residuals; where two candidates come
// out nearer to each other than that approximation can err, the definition's own operations decide.
// The bound: docs/numerics.md, "float filter".
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/sweep_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/simd_kernels.h"
#include "cpu/sweep_group-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

template <int block>
HWY_INLINE void load_weights(const BlockWeights& weights, int64_t first, int64_t blocks, float* HWY_RESTRICT buffer, Group<block>& g) {
  for (int64_t b = 0; b < kLanes; ++b) {
    const float* row = weights.rows + (weights.first + first + (b < blocks ? b : 0)) % weights.period * block;
    for (int i = 0; i < block; ++i) buffer[b * block + i] = row[i];
  }
  load_transposed<block>(buffer, block, g.w);
}

// One function for all loaders.
template <int block, bool weighted>
HWY_NOINLINE VI search_apart(const SweepPlan& plan, Group<block>& g) {
  return search<block, weighted>(plan, g);
}

template <class Loader, int block, bool weighted>
bool sweep_blocks(const SweepPlan& plan, const char* data, int64_t blocks, const BlockWeights* weights, uint8_t* HWY_RESTRICT codes) {
  constexpr int64_t kBlockBytes = block * Loader::kBytes;
  HWY_ALIGN char last_group[kLanes * kBlockBytes];
  HWY_ALIGN float weight_rows[weighted ? kLanes * block : 1];
  HWY_ALIGN int32_t lane_codes[kLanes];
  for (int64_t b = 0; b < blocks; b += kLanes) {
    const int64_t here = blocks - b < kLanes ? blocks - b : kLanes;
    const char* rows = data + b * kBlockBytes;
    if (here < kLanes) {  // the blocks past the end are zero
      memset(last_group, 0, sizeof last_group);
      memcpy(last_group, rows, static_cast<size_t>(here * kBlockBytes));
      rows = last_group;
    }
    Group<block> g;
    if (!load_group<Loader>(plan, rows, g)) return false;
    if constexpr (weighted) load_weights(*weights, b, here, weight_rows, g);
    const VI code = search_apart<block, weighted>(plan, g);
    if (here == kLanes) {
      const hn::Rebind<uint8_t, DI> d8;
      hn::StoreU(hn::DemoteTo(d8, code), d8, codes + b);
    } else {
      hn::Store(code, DI(), lane_codes);
      for (int64_t i = 0; i < here; ++i) codes[b + i] = static_cast<uint8_t>(lane_codes[i]);
    }
  }
  return true;
}

bool sweep(const SweepPlan& plan, Span x, int64_t blocks, const BlockWeights* weights, uint8_t* codes) {
  const char* data = static_cast<const char*>(x.data);
  return with_loader(x.dtype, [&](auto loader) {
    using Loader = decltype(loader);
    if (plan.block == 32) {
      return weights ? sweep_blocks<Loader, 32, true>(plan, data, blocks, weights, codes)
                     : sweep_blocks<Loader, 32, false>(plan, data, blocks, weights, codes);
    }
    return weights ? sweep_blocks<Loader, 16, true>(plan, data, blocks, weights, codes)
                   : sweep_blocks<Loader, 16, false>(plan, data, blocks, weights, codes);
  });
}

void fill_sweep_kernels(Kernels& kernels) { kernels.sweep = sweep; }

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
