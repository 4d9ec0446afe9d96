// The bounds of the Hessian-weighted search in sixteen-bit integers: docs/hessian_sweep.md, "in integers", has the proof of the tolerances.
#define NVFP4CAL_INTEGER_TARGETS
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/hessian_integer_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/hessian_group-inl.h"
#include "cpu/hessian_integers.h"
#include "cpu/integer_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if HWY_TARGET == HWY_AVX3_DL

// Rows whose sums are made along with the diagonal part.
constexpr int kFirstRows = 3;

// Quotients of u are too small by this factor, so that the largest magnitude fits into sixteen bits.
constexpr float kShrink = 1.0f - 0x1p-16f;

HWY_INLINE VU load_words(const uint32_t* p) { return hn::Load(DU(), p); }
HWY_INLINE VU spread(uint32_t word) { return hn::Set(DU(), word); }
HWY_INLINE VI add_products(VI sum, VU a, VU b) { return VI{_mm512_dpwssd_epi32(sum.raw, a.raw, b.raw)}; }

void load_integers(const HessianBound& bound, const float* x, const uint32_t* signs, const float* maxima, HessianIntegers& out) {
  const DF df;
  const DU du;
  const DI di;
  // what is below counts as zero at every code
  const VF m = hn::Max(hn::Load(df, maxima), hn::Set(df, 0x1p-100f));
  const VU exponent = hn::And(hn::BitCast(du, m), hn::Set(du, num::kInfBits));
  const VF scale = hn::Mul(hn::BitCast(df, hn::Sub(hn::Set(du, 269u << 23), exponent)), hn::Set(df, kShrink));
  for (int j = 0; j < 8; ++j) {
    const VF low = hn::Load(df, x + j * kLanes), high = hn::Load(df, x + (j + 8) * kLanes);
    hn::Store(join_halves(scaled_element(low, scale), scaled_element(high, scale)), du, out.u[j]);
    const VU low_sign = hn::ShiftRight<31>(load_words(signs + j * kLanes));
    const VU high_sign = hn::ShiftRight<15>(load_words(signs + (j + 8) * kLanes));
    hn::Store(VU{_mm512_sub_epi16(_mm512_setzero_si512(), hn::Or(low_sign, high_sign).raw)}, du, out.flips[j]);
  }
  // a flipped e is -e - 1
  for (int k = 0; k < kFirstRows && k < bound.rows; ++k) {
    VI sum = hn::Zero(di);
    for (int j = 0; j < 8; ++j) sum = add_products(sum, load_words(out.flips[j]), spread(bound.w_steps[k][j]));
    hn::Store(hn::Neg(sum), di, out.starts[k]);
  }
  const VF mantissa = hn::BitCast(df, hn::Or(hn::AndNot(exponent, hn::BitCast(du, m)), hn::Set(du, 127u << 23)));
  const VF together = hn::Mul(hn::MulAdd(mantissa, hn::Set(df, 1.05f), hn::Set(df, 4.05f)), hn::Set(df, bound.reach));
  const VF each = hn::Mul(hn::MulAdd(mantissa, hn::Set(df, 0.27f), hn::Set(df, 1.02f)), hn::Set(df, bound.spread));
  const VF tolerance = hn::Add(hn::Min(together, each), hn::Set(df, 2.01f * bound.d_root));
  hn::Store(hn::Mul(tolerance, hn::Set(df, 0x1p-11f)), df, out.tolerance);
  hn::Store(hn::Mul(hn::BitCast(df, exponent), hn::Set(df, 0x1p12f / kShrink)), df, out.to_steps);
  hn::Store(hn::Div(hn::Set(df, 15.97f * 0x1p12f), mantissa), df, out.most_steps);
}

// What one rung's code is to the quotients, and what they add up to.
struct Rung {
  VU inverse;
  VF scale;  // 0: quotients do not fit
  VI diagonal, rows[kFirstRows];
  VU nearest;  // distance from a multiple of 512, plus 1
};

// Scales of codes and their inverses in steps. Lanes whose code is none get anything.
class RungScales {
 public:
  HWY_INLINE RungScales(const HessianPlan& plan, const HessianIntegers& g)
      : to_steps_(hn::Load(DF(), g.to_steps)),
        most_(hn::Load(DF(), g.most_steps)),
        scales_{_mm512_broadcast_f32x8(_mm256_loadu_ps(plan.sweep.scale))},
        reciprocals_{_mm512_broadcast_f32x8(_mm256_loadu_ps(plan.sweep.reciprocal))},
        // subnormal codes as normal ones with lower exponents
        subnormal_{_mm512_setr_epi32(0, -16, -8, -4, 0, 2, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0)} {}

  HWY_INLINE void set(VI code, Rung& rung) const {
    const DF df;
    const DI di;
    const __mmask16 subnormal = _mm512_cmplt_epi32_mask(code.raw, _mm512_set1_epi32(8));
    const VI normal{_mm512_mask_permutexvar_epi32(code.raw, subnormal, code.raw, subnormal_.raw)};
    const VI exponent = hn::ShiftLeft<20>(hn::Sub(hn::And(normal, hn::Set(di, ~7)), hn::Set(di, num::kE4m3One)));
    const VI reciprocal{_mm512_castps_si512(_mm512_permutexvar_ps(normal.raw, reciprocals_.raw))};
    const VF steps = hn::Mul(hn::BitCast(df, hn::Sub(reciprocal, exponent)), to_steps_);
    const __mmask16 fits = _mm512_cmp_ps_mask(steps.raw, most_.raw, _CMP_LE_OQ);
    const VI inverse{_mm512_cvtps_epi32(steps.raw)};
    rung.inverse = hn::BitCast(DU(), hn::Or(inverse, hn::ShiftLeft<16>(inverse)));
    const __m512i mantissa = _mm512_castps_si512(_mm512_permutexvar_ps(normal.raw, scales_.raw));
    rung.scale = VF{_mm512_castsi512_ps(_mm512_maskz_add_epi32(fits, mantissa, exponent.raw))};
  }

 private:
  VF to_steps_, most_, scales_, reciprocals_;
  VI subnormal_;
};

template <bool with_rows>
HWY_INLINE void add_up(const HessianBound& bound, const HessianIntegers& g, Rung& rung) {
  const DI di;
  VI diagonal = hn::Zero(di), rows[kFirstRows];
  __m512i nearest = _mm512_set1_epi16(511);
  for (int k = 0; with_rows && k < kFirstRows; ++k) rows[k] = hn::Load(di, g.starts[k]);
  for (int j = 0; j < 8; ++j) {
    const VU y = multiply_high(load_words(g.u[j]), rung.inverse), e = level_distance(y, kLevels.steps11);
    const VU weighted = times_roots(e, spread(bound.d_roots[j]));
    diagonal = VI{_mm512_dpwssds_epi32(diagonal.raw, weighted.raw, weighted.raw)};
    if (!with_rows) continue;
    const __m512i above = _mm512_add_epi16(_mm512_max_epu16(y.raw, _mm512_set1_epi16(64)), _mm512_set1_epi16(1));
    nearest = _mm512_min_epu16(nearest, _mm512_and_si512(above, _mm512_set1_epi16(511)));
    const VU flipped = hn::Xor(e, load_words(g.flips[j]));
    for (int k = 0; k < kFirstRows; ++k) rows[k] = add_products(rows[k], flipped, spread(bound.w_steps[k][j]));
  }
  rung.diagonal = diagonal;
  if (!with_rows) return;
  rung.nearest = VU{nearest};
  for (int k = 0; k < kFirstRows; ++k) rung.rows[k] = rows[k];
}

template <bool with_rows>
HWY_INLINE void finish(const HessianBound& bound, const Rung& rung, float* HWY_RESTRICT diagonal_out, float* HWY_RESTRICT all_out) {
  const DF df;
  const DU du;
  const DI di;
  const VF square = hn::Mul(rung.scale, rung.scale);
  const VF diagonal = hn::Mul(hn::ConvertTo(df, rung.diagonal), hn::Set(df, bound.d_unit));
  VF all = diagonal;
  if (with_rows) {
    for (int k = 0; k < kFirstRows; ++k) {
      const VF dot = hn::Mul(hn::ConvertTo(df, rung.rows[k]), hn::Set(df, bound.w_unit[k]));
      all = hn::MulAdd(dot, dot, all);
    }
    const VI least = hn::BitCast(di, hn::Min(hn::And(rung.nearest, hn::Set(du, 0xFFFFu)), hn::ShiftRight<16>(rung.nearest)));
    all = hn::IfThenElse(hn::RebindMask(df, hn::Lt(least, hn::Set(di, 3))), diagonal, all);
  }
  hn::Store(hn::Mul(diagonal, square), df, diagonal_out);
  hn::Store(hn::Mul(all, square), df, all_out);
}

// Step by step for all rungs: those of one rung wait for each other.
template <bool with_rows>
HWY_INLINE void bound_rungs(const HessianPlan& plan, const HessianBound& bound, const HessianIntegers& g, const int32_t* codes, int count,
                            HessianRungs& out) {
  const DI di;
  Rung rungs[HessianRungs::kMost];
  const VI first = hn::Load(di, codes);
  const RungScales scales(plan, g);
  for (int k = 0; k < count; ++k) scales.set(hn::Sub(first, hn::Set(di, k)), rungs[k]);
  for (int k = 0; k < count; ++k) add_up<with_rows>(bound, g, rungs[k]);
  for (int k = 0; k < count; ++k) {
    finish<with_rows>(bound, rungs[k], out.diagonal[k], out.all[k]);
    hn::Store(rungs[k].scale, DF(), out.scale[k]);
  }
}

void bound_integers(const HessianPlan& plan, const HessianBound& bound, const HessianIntegers& group, const int32_t* codes, int count,
                    bool with_rows, HessianRungs& out) {
  if (!with_rows) return bound_rungs<false>(plan, bound, group, codes, count, out);
  bound_rungs<true>(plan, bound, group, codes, count, out);
}

bool hessian_sweep(const HessianPlan& plan, const HessianMatrix& hessian, const HessianRows& rows, uint8_t* codes) {
  static constexpr HessianIntegerKernels kIntegers = {load_integers, bound_integers};
  return N_AVX3::hessian_sweep_with(&kIntegers, plan, hessian, rows, codes);
}

void fill_hessian_sweep_kernels(Kernels& kernels) { kernels.hessian_sweep = hessian_sweep; }

#endif  // HWY_AVX3_DL
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
