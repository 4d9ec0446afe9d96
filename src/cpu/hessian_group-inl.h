// A group of blocks that share a Hessian, and the definition of its error on lanes. Included once per target.
#if defined(NVFP4CAL_CPU_HESSIAN_GROUP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_HESSIAN_GROUP_INL_H
#undef NVFP4CAL_CPU_HESSIAN_GROUP_INL_H
#else
#define NVFP4CAL_CPU_HESSIAN_GROUP_INL_H
#endif

#include <algorithm>
#include <cstring>

#include "cpu/hessian_matrix.h"
#include "cpu/simd-inl.h"

// Loops over a block's elements written out, since these stay in registers, and rare ones that would be for nothing.
#undef NVFP4CAL_UNROLLED
#undef NVFP4CAL_ROLLED
#ifdef __clang__
#define NVFP4CAL_UNROLLED _Pragma("unroll")
#define NVFP4CAL_ROLLED _Pragma("nounroll")
#else
#define NVFP4CAL_UNROLLED _Pragma("GCC unroll 16")
#define NVFP4CAL_ROLLED _Pragma("GCC unroll 1")
#endif

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD && HWY_NATIVE_FMA

template <int block>
struct HessianGroup {
  VF x[block];     // magnitudes, normalized units
  VF sign[block];  // sign bits
  VF m;            // block maxima
};

// False if an element is not finite.
template <int block>
HWY_INLINE bool load_hessian_group(const HessianPlan& plan, const float* rows, int64_t stride, HessianGroup<block>& g) {
  const DF df;
  const DI di;
  load_transposed<block>(rows, stride, g.x);
  const VF sign_bit = hn::Set(df, -0.0f), prescale = hn::Set(df, plan.sweep.prescale), prescale2 = hn::Set(df, plan.sweep.prescale2);
  VI largest[2] = {hn::Zero(di), hn::Zero(di)};
  for (int i = 0; i < block; ++i) {
    g.sign[i] = hn::And(g.x[i], sign_bit);
    const VF magnitude = hn::Abs(g.x[i]);
    largest[i % 2] = hn::Max(largest[i % 2], hn::BitCast(di, magnitude));
    g.x[i] = hn::Mul(hn::Mul(magnitude, prescale), prescale2);
  }
  largest[0] = hn::Max(largest[0], largest[1]);
  g.m = hn::Mul(hn::Mul(hn::BitCast(df, largest[0]), prescale), prescale2);
  return hn::AllTrue(di, hn::Lt(largest[0], hn::Set(di, static_cast<int32_t>(num::kInfBits))));
}

// r' H r, to the bit: t_i = sum_j H_ij r_j and the sum over i fused, in order.
template <int block>
HWY_INLINE VF quadratic_form(const HessianMatrix& hessian, const VF* HWY_RESTRICT r) {
  const DF df;
  VF error = hn::Zero(df);
  const float* h = hessian.values;
  for (int i = 0; i < block; ++i, h += block) {
    VF t = hn::Zero(df);
    for (int j = 0; j < block; ++j) t = hn::MulAdd(hn::Set(df, h[j]), r[j], t);
    error = hn::MulAdd(r[i], t, error);
  }
  return error;
}

// About r' H r: every pair of elements once, 136 products instead of 256. HessianBound::noise says how near it is.
template <int block>
HWY_INLINE VF quick_form(const HessianMatrix& hessian, const VF* HWY_RESTRICT r) {
  const DF df;
  VF even = hn::Zero(df), odd = even;
  const float* h = hessian.lower;
  if constexpr (block == 16) {  // written out, so that residuals stay in registers; four sums at a time, each waits for itself
    NVFP4CAL_UNROLLED
    for (int first = 0; first < 16; first += 4) {
      VF t[4];
      NVFP4CAL_UNROLLED
      for (int i = first; i < first + 4; ++i) t[i - first] = hn::Mul(hn::Set(df, h[i * (i + 3) / 2]), r[i]);
      NVFP4CAL_UNROLLED
      for (int j = 0; j < first + 3; ++j) {
        NVFP4CAL_UNROLLED
        for (int i = first; i < first + 4; ++i) {
          if (j < i) t[i - first] = hn::MulAdd(hn::Set(df, h[i * (i + 1) / 2 + j]), r[j], t[i - first]);
        }
      }
      for (int i = first; i < first + 4; i += 2) {
        even = hn::MulAdd(r[i], t[i - first], even);
        odd = hn::MulAdd(r[i + 1], t[i + 1 - first], odd);
      }
    }
    return hn::Add(even, odd);
  }
  for (int i = 0; i < block; h += ++i) {
    VF t = hn::Mul(hn::Set(df, h[i]), r[i]);
    for (int j = 0; j < i; ++j) t = hn::MulAdd(hn::Set(df, h[j]), r[j], t);
    (i % 2 ? odd : even) = hn::MulAdd(r[i], t, i % 2 ? odd : even);
  }
  return hn::Add(even, odd);
}

// The definition: true division, nearest even level, residual with the sign of x.
template <int block>
HWY_NOINLINE VF definition_error(const HessianMatrix& hessian, const HessianGroup<block>& g, VF scale) {
  VF r[block];
  for (int i = 0; i < block; ++i) {
    const VF q = round_e2m1(hn::Div(g.x[i], scale));
    r[i] = hn::Xor(hn::NegMulAdd(q, scale, g.x[i]), g.sign[i]);
  }
  return quadratic_form<block>(hessian, r);
}

// One code of every lane.
struct LaneScale {
  VF scale, reciprocal;
};

HWY_INLINE LaneScale lane_scale(const HessianPlan& plan, VI code) {
  const DF df;
  const DI di;
  const VF normal = hn::BitCast(df, hn::Add(hn::ShiftLeft<20>(code), hn::Set(di, 120 << 23)));
  const VF linear = hn::Mul(hn::ConvertTo(df, code), hn::Set(df, num::kE4m3Min));
  const VI value = hn::BitCast(di, hn::IfThenElse(hn::RebindMask(df, hn::Lt(code, hn::Set(di, 8))), linear, normal));
  const VI mantissa = hn::And(hn::ShiftRight<20>(value), hn::Set(di, 7));
  const VI exponent = hn::Sub(hn::And(value, hn::Set(di, static_cast<int32_t>(num::kInfBits))), hn::Set(di, 127 << 23));
  return {hn::BitCast(df, hn::Add(hn::BitCast(di, lookup8(plan.sweep.scale, mantissa)), exponent)),
          hn::BitCast(df, hn::Sub(hn::BitCast(di, lookup8(plan.sweep.reciprocal, mantissa)), exponent))};
}

struct LaneRange {
  VI lo, hi;
};

// code_range of every lane.
HWY_INLINE LaneRange lane_ranges(const HessianPlan& plan, VF m) {
  const DF df;
  const DI di;
  if (!plan.sweep.has_window) return {hn::Set(di, 1), hn::Set(di, num::kE4m3Count)};
  HWY_ALIGN float maxima[kLanes];
  HWY_ALIGN int32_t lo[kLanes], hi[kLanes];
  hn::Store(m, df, maxima);
  for (int lane = 0; lane < kLanes; ++lane) {
    const CodeRange range = code_range(plan, maxima[lane]);
    lo[lane] = range.lo;
    hi[lane] = range.hi;
  }
  return {hn::Load(di, lo), hn::Load(di, hi)};
}

// All codes of every lane's range, downwards: the smallest one wins ties.
template <int block>
HWY_NOINLINE VI try_all(const HessianPlan& plan, const HessianMatrix& hessian, const HessianGroup<block>& g) {
  const DF df;
  const DI di;
  const LaneRange range = lane_ranges(plan, g.m);
  VF best = hn::Set(df, num::from_bits(num::kInfBits));
  VI chosen = range.hi;
  for (int code = num::kE4m3Count; code >= 1; --code) {
    const VI here = hn::Set(di, code);
    const auto outside = hn::Or(hn::Lt(here, range.lo), hn::Gt(here, range.hi));
    if (plan.sweep.has_window && hn::AllTrue(di, outside)) continue;
    const VF error = definition_error<block>(hessian, g, hn::Set(df, plan.scale[code]));
    const MF better = hn::AndNot(hn::RebindMask(df, outside), hn::Le(error, best));
    best = hn::IfThenElse(better, error, best);
    chosen = hn::IfThenElse(hn::RebindMask(di, better), here, chosen);
  }
  return chosen;
}

// Codes of all rows: search(group) for kLanes at a time, and what holds for blocks that are zero or far above G. False if an element is not finite.
template <int block, class Search>
HWY_INLINE bool for_each_group(const HessianPlan& plan, const HessianRows& rows, uint8_t* HWY_RESTRICT codes, Search&& search) {
  const DF df;
  const DI di;
  HWY_ALIGN float last_rows[kLanes * block];
  HWY_ALIGN int32_t lane_codes[kLanes];
  for (int64_t b = 0; b < rows.blocks; b += kLanes) {
    const int64_t here = rows.blocks - b < kLanes ? rows.blocks - b : kLanes;
    const float* from = rows.data + b * rows.stride;
    int64_t stride = rows.stride;
    if (here < kLanes) {  // the blocks past the end are zero
      memset(last_rows, 0, sizeof last_rows);
      for (int64_t i = 0; i < here; ++i) memcpy(last_rows + i * block, from + i * stride, block * sizeof(float));
      from = last_rows;
      stride = block;
    }
    for (int64_t i = b + kLanes; i < std::min(b + 2 * kLanes, rows.blocks); ++i) {  // rows lie apart: the next group's
      for (int64_t line = 0; line < block; line += 16) __builtin_prefetch(rows.data + i * rows.stride + line);
    }
    HessianGroup<block> g;
    if (HWY_UNLIKELY(!load_hessian_group<block>(plan, from, stride, g))) return false;
    VI code = search(g);
    const MF saturated = hn::Ge(g.m, hn::Set(df, plan.sweep.saturation));
    if (HWY_UNLIKELY(!hn::AllFalse(df, saturated))) {
      code = hn::IfThenElse(hn::RebindMask(di, saturated), lane_ranges(plan, g.m).hi, code);
    }
    const MF zero = hn::Eq(g.m, hn::Zero(df));
    code = hn::IfThenElse(hn::RebindMask(di, zero), hn::Set(di, 1), code);
    hn::Store(code, di, lane_codes);
    for (int64_t i = 0; i < here; ++i) codes[b + i] = static_cast<uint8_t>(lane_codes[i]);
  }
  return true;
}

#endif  // NVFP4CAL_REAL_SIMD && HWY_NATIVE_FMA
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
