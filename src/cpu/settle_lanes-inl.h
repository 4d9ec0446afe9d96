// The searches of single-level quantization leave to the definition what their float32 bounds cannot tell apart. Included once per target.
#if defined(NVFP4CAL_CPU_SETTLE_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_SETTLE_LANES_INL_H
#undef NVFP4CAL_CPU_SETTLE_LANES_INL_H
#else
#define NVFP4CAL_CPU_SETTLE_LANES_INL_H
#endif

#include "cpu/simd-inl.h"
#include "num/block_scale.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// Maxima from here on have no bounds: their squares may overflow.
constexpr float kUnboundedMaximum = 0x1p40f;

// The scales of some lanes' rows, [kLanes, n]: whole(x) searches all codes, where there are no bounds; mark(lane, candidates) finds those, by code, that may be the
// best, best(x, candidates) the one that is.
template <class Whole, class Mark, class Best>
HWY_INLINE void settle_lanes(MF lanes, const float* rows, int n, float* HWY_RESTRICT scales, const Whole& whole, const Mark& mark,
                             const Best& best) {
  const DF df;
  HWY_ALIGN float chosen[kLanes];
  hn::Store(hn::IfThenElseZero(lanes, hn::Set(df, 1.0f)), df, chosen);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (chosen[lane] == 0.0f) continue;
    const float* const x = rows + lane * n;
    if (num::block_largest(x, n) >= kUnboundedMaximum) {
      scales[lane] = whole(x);
      continue;
    }
    bool candidates[num::kE4m3Count + 1] = {};
    mark(lane, candidates);
    scales[lane] = best(x, candidates);
  }
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
