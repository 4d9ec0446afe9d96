// HessianBound of one code on lanes, in float32: its parts, and what holds for all smaller codes. docs/hessian_sweep.md has the proof. Included once per target.
#if defined(NVFP4CAL_CPU_HESSIAN_PARTS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_HESSIAN_PARTS_INL_H
#undef NVFP4CAL_CPU_HESSIAN_PARTS_INL_H
#else
#define NVFP4CAL_CPU_HESSIAN_PARTS_INL_H
#endif

#include "cpu/hessian_group-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD && HWY_NATIVE_FMA

// The definition's residual without its division: one correction of x * (1 / s) rounds to the same level (HessianPlan::exact_quotients).
HWY_INLINE VF quick_residual(VF x, VF sign, const LaneScale& s) {
  return hn::Xor(hn::NegMulAdd(round_e2m1(refined_quotient(x, s.scale, s.reciprocal)), s.scale, x), sign);
}

// The diagonal part alone. A misjudged level within 2^-22 of a boundary leaves |r| as it is, to 2^-18 of itself.
template <int block>
HWY_INLINE VF filter_diagonal(const HessianBound& bound, const HessianGroup<block>& g, const LaneScale& s) {
  const DF df;
  LevelFilter level;
  level.set(s.reciprocal);
  VF even = hn::Zero(df), odd = even;
  for (int i = 0; i < block; i += 2) {
    const VF r0 = hn::NegMulAdd(level(g.x[i]), s.scale, g.x[i]), r1 = hn::NegMulAdd(level(g.x[i + 1]), s.scale, g.x[i + 1]);
    even = hn::MulAdd(hn::Mul(hn::Set(df, bound.d[i]), r0), r0, even);
    odd = hn::MulAdd(hn::Mul(hn::Set(df, bound.d[i + 1]), r1), r1, odd);
  }
  return hn::Add(even, odd);
}

template <int block>
HWY_INLINE VF diagonal_part(const HessianBound& bound, const VF* HWY_RESTRICT r) {
  const DF df;
  VF even = hn::Zero(df), odd = even;
  for (int i = 0; i < block; i += 2) {
    even = hn::MulAdd(hn::Mul(hn::Set(df, bound.d[i]), r[i]), r[i], even);
    odd = hn::MulAdd(hn::Mul(hn::Set(df, bound.d[i + 1]), r[i + 1]), r[i + 1], odd);
  }
  return hn::Add(even, odd);
}

// (w_k . r)^2 + (w_k+1 . r)^2; rows past the last are zero.
template <int block>
HWY_INLINE VF row_pair_part(const HessianBound& bound, int k, const VF* HWY_RESTRICT r) {
  const DF df;
  const float *const a = bound.w[k], *const b = bound.w[k + 1];
  VF a0 = hn::Mul(hn::Set(df, a[0]), r[0]), a1 = hn::Mul(hn::Set(df, a[1]), r[1]);
  VF b0 = hn::Mul(hn::Set(df, b[0]), r[0]), b1 = hn::Mul(hn::Set(df, b[1]), r[1]);
  for (int i = 2; i < block; i += 2) {
    a0 = hn::MulAdd(hn::Set(df, a[i]), r[i], a0);
    b0 = hn::MulAdd(hn::Set(df, b[i]), r[i], b0);
    a1 = hn::MulAdd(hn::Set(df, a[i + 1]), r[i + 1], a1);
    b1 = hn::MulAdd(hn::Set(df, b[i + 1]), r[i + 1], b1);
  }
  const VF dot_a = hn::Add(a0, a1), dot_b = hn::Add(b0, b1);
  return hn::MulAdd(dot_a, dot_a, hn::Mul(dot_b, dot_b));
}

// |r| >= x - 6 s at this and every smaller scale.
template <int block>
HWY_INLINE VF clipping_bound(const HessianBound& bound, const HessianGroup<block>& g, VF scale) {
  const DF df;
  const VF most = hn::Mul(scale, hn::Set(df, 6.0f * (1.0f + 0x1p-20f)));
  VF sum = hn::Zero(df);
  for (int i = 0; i < block; ++i) {
    const VF over = hn::Max(hn::Sub(g.x[i], most), hn::Zero(df));
    sum = hn::MulAdd(hn::Mul(hn::Set(df, bound.d[i]), over), over, sum);
  }
  return sum;
}

template <int block>
HWY_INLINE void set_projections(const HessianBound& bound, const HessianGroup<block>& g, VF* HWY_RESTRICT projections) {
  const DF df;
  for (int k = 0; k < bound.rows; ++k) {
    VF sum = hn::Zero(df);
    for (int i = 0; i < block; ++i) sum = hn::MulAdd(hn::Set(df, bound.w[k][i]), hn::Xor(g.x[i], g.sign[i]), sum);
    projections[k] = sum;
  }
}

// r = x - z, z of x's sign and at most min(6 s, 2 |x|): w . r lies within half the sum of |w| z of w . (x - z / 2), for all smaller scales too.
template <int block>
HWY_INLINE VF interval_bound(const HessianBound& bound, const HessianGroup<block>& g, VF scale, const VF* HWY_RESTRICT projections) {
  const DF df;
  const VF most = hn::Mul(scale, hn::Set(df, 6.0f * (1.0f + 0x1p-20f)));
  VF z[block], half_z[block];
  for (int i = 0; i < block; ++i) {
    half_z[i] = hn::Mul(hn::Min(most, hn::Add(g.x[i], g.x[i])), hn::Set(df, 0.5f));
    z[i] = hn::Xor(half_z[i], g.sign[i]);
  }
  VF sum = hn::Zero(df);
  for (int k = 0; k < bound.rows; ++k) {
    VF middle = projections[k], reach = hn::Zero(df);
    for (int i = 0; i < block; ++i) {
      const VF w = hn::Set(df, bound.w[k][i]);
      middle = hn::NegMulAdd(w, z[i], middle);
      reach = hn::MulAdd(hn::Abs(w), half_z[i], reach);
    }
    const VF distance = hn::Max(hn::Sub(hn::Abs(middle), reach), hn::Zero(df));
    sum = hn::MulAdd(distance, distance, sum);
  }
  return sum;
}

#endif  // NVFP4CAL_REAL_SIMD && HWY_NATIVE_FMA
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
