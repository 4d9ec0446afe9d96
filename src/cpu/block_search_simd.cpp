// Single-level quantization on SIMD lanes: the scale of the least squared error, one block a lane, and the levels that a scale makes. The errors of the
// filter are float32; what they cannot tell apart is left to the definition in float64. docs/numerics.md 8 has the proof.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/block_search_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>

#include "cpu/block_search.h"
#include "cpu/settle_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// The search of kLanes blocks of n elements.
class BlockLanes {
 public:
  HWY_INLINE BlockLanes(const float* rows, int n) : rows_(rows), n_(n) {
    for (int i = 0; i < n; i += 16) load_transposed<16>(rows + i, n, x_ + i);
    m_ = hn::Zero(DF());
    for (int i = 0; i < n; ++i) {
      x_[i] = hn::Abs(x_[i]);
      m_ = hn::Max(m_, x_[i]);
    }
  }

  HWY_INLINE void search(bool search_noise, float* HWY_RESTRICT scales) {
    const DF df;
    // the naive scale is 0: E4M3 rounds up to 2^-10 to it
    const MF noise = hn::Le(hn::Div(m_, hn::Set(df, 6.0f)), hn::Set(df, 0x1p-10f));
    const MF huge = hn::Ge(m_, hn::Set(df, kUnboundedMaximum));
    const MF searched = hn::AndNot(hn::Or(noise, huge), hn::Eq(m_, m_));
    const MF tried = search_noise ? hn::And(noise, hn::Gt(m_, hn::Zero(df))) : hn::Lt(m_, m_);
    walk(hn::Or(searched, tried));
    hn::StoreU(hn::IfThenZeroElse(noise, values_of(winner_)), df, scales);
    const MF near = hn::And(searched, hn::Le(second_, limit_));
    settle(hn::Or(hn::Or(near, huge), tried), search_noise, scales);
  }

 private:
  // The errors of all codes that can win or come near, downwards from each lane's own first one.
  HWY_INLINE void walk(MF open) {
    const DF df;
    const DI di;
    const VF infinity = hn::Set(df, num::from_bits(num::kInfBits));
    // Above 2 m / 7 halving a scale does not raise the error. Odd codes up to 15 are no doubles: small blocks begin at 15, or at the first code that makes
    // all elements zero.
    const VF all_zero = hn::Ceil(hn::Min(hn::Mul(m_, hn::Set(df, 2048.0f)), hn::Set(df, 15.0f)));
    first_ = hn::Max(floor_code(hn::Mul(m_, hn::Set(df, 2.0f / 7.0f * (1.0f + 0x1p-20f)))), hn::ConvertTo(di, all_zero));
    winner_ = first_;
    best_ = second_ = limit_ = infinity;
    VI code = first_;
    for (steps_ = 0;; ++steps_, code = hn::Sub(code, hn::Set(di, 1))) {
      const VF scale = values_of(code);
      // the clipped maximum alone, which loses more at every smaller scale
      const VF over = hn::Max(hn::NegMulAdd(hn::Set(df, 6.0f), scale, m_), hn::Zero(df));
      open = hn::AndNot(hn::Gt(hn::Mul(over, over), limit_), hn::And(open, hn::RebindMask(df, hn::Gt(code, hn::Zero(di)))));
      if (hn::AllFalse(df, open)) return;
      const VF error = hn::IfThenElse(open, error_of(scale), infinity);
      hn::Store(error, df, errors_ + steps_ * kLanes);
      const MF better = hn::Lt(error, best_);
      second_ = hn::Min(second_, hn::Max(error, best_));
      best_ = hn::Min(best_, error);
      winner_ = hn::IfThenElse(hn::RebindMask(di, better), code, winner_);
      limit_ = hn::MulAdd(best_, hn::Set(df, 1.0f + 0x1p-14f), hn::Set(df, 0x1p-110f));
    }
  }

  HWY_INLINE VF error_of(VF scale) const {
    const DF df;
    LevelFilter level;
    level.set(hn::Div(hn::Set(df, 1.0f), scale));
    VF even = hn::Zero(df), odd = even;
    for (int i = 0; i < n_; i += 2) {
      const VF r0 = hn::NegMulAdd(level(x_[i]), scale, x_[i]), r1 = hn::NegMulAdd(level(x_[i + 1]), scale, x_[i + 1]);
      even = hn::MulAdd(r0, r0, even);
      odd = hn::MulAdd(r1, r1, odd);
    }
    return hn::Add(even, odd);
  }

  // The definition, on some lanes.
  HWY_NOINLINE void settle(MF lanes, bool search_noise, float* HWY_RESTRICT scales) const {
    const DF df;
    if (hn::AllFalse(df, lanes)) return;
    HWY_ALIGN float limits[kLanes];
    HWY_ALIGN int32_t firsts[kLanes];
    hn::Store(limit_, df, limits);
    hn::Store(first_, DI(), firsts);
    const auto mark = [&](int lane, bool* candidates) {
      for (int step = 0; step < steps_; ++step) {
        if (errors_[step * kLanes + lane] <= limits[lane]) candidates[firsts[lane] - step] = true;
      }
    };
    settle_lanes(
        lanes, rows_, n_, scales, [&](const float* x) { return num::optimal_scale(x, n_, search_noise); }, mark,
        [&](const float* x, const bool* candidates) { return best_scale(x, n_, candidates); });
  }

  const float* rows_;
  int n_;
  VF x_[kMaxBlock], m_;
  VI first_, winner_;
  VF best_, second_, limit_;
  int steps_ = 0;
  HWY_ALIGN float errors_[num::kE4m3Count * kLanes];
};

void optimal_scales(const float* x, int n, int64_t blocks, bool search_noise, float* HWY_RESTRICT scales) {
  float rows[kLanes * kMaxBlock], found[kLanes];
  for (int64_t b = 0; b < blocks; b += kLanes) {
    const int64_t here = blocks - b < kLanes ? blocks - b : kLanes;
    const float* from = x + b * n;
    if (here < kLanes) {  // the blocks past the end are zero
      memset(rows, 0, sizeof rows);
      memcpy(rows, from, static_cast<size_t>(here * n) * sizeof(float));
      from = rows;
    }
    BlockLanes(from, n).search(search_noise, found);
    memcpy(scales + b, found, static_cast<size_t>(here) * sizeof(float));
  }
}

// num::e2m1_level_ties_down of every lane.
HWY_INLINE VF level_ties_down(VF x, VF scale) {
  const DF df;
  const VF y = hn::Div(hn::Abs(x), scale);
  VF level = hn::Zero(df);
  for (const float boundary : {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f}) {
    const float step = boundary < 2.0f ? 0.5f : boundary < 4.0f ? 1.0f : 2.0f;
    level = hn::Add(level, hn::IfThenElseZero(hn::Gt(y, hn::Set(df, boundary)), hn::Set(df, step)));
  }
  return hn::IfThenElse(hn::Lt(x, hn::Zero(df)), hn::Neg(level), level);
}

void block_levels(const float* x, int64_t n, int64_t blocks, const float* HWY_RESTRICT scales, float* HWY_RESTRICT levels) {
  const DF df;
  for (int64_t b = 0; b < blocks; ++b, x += n, levels += n) {
    const VF scale = hn::Set(df, scales[b]);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(level_ties_down(hn::LoadU(df, x + i), scale), df, levels + i);
    for (; i < n; ++i) levels[i] = num::e2m1_level_ties_down(x[i], scales[b]);
  }
}

void fill_block_search_kernels(Kernels& kernels) {
  kernels.optimal_scales = optimal_scales;
  kernels.block_levels = block_levels;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
