// num::power on float64 lanes: the same operations in the same order, so the same bits.
#if defined(NVFP4CAL_POWER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_POWER_INL_H_
#undef NVFP4CAL_POWER_INL_H_
#else
#define NVFP4CAL_POWER_INL_H_
#endif

#include <hwy/highway.h>

#include "cpu/simd-inl.h"
#include "num/power.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

using DD = hn::ScalableTag<double>;
using DU64 = hn::ScalableTag<uint64_t>;
using VD = hn::Vec<DD>;

// a + b x
HWY_INLINE VD plus(VD a, VD b, VD x) { return hn::Add(a, hn::Mul(b, x)); }

// (c[0] + c[1] x) + (c[2] + c[3] x) x2
HWY_INLINE VD four_terms(const double* c, VD x, VD x2) {
  const DD dd;
  return plus(plus(hn::Set(dd, c[0]), hn::Set(dd, c[1]), x), plus(hn::Set(dd, c[2]), hn::Set(dd, c[3]), x), x2);
}

HWY_INLINE VD log2_series(VD z) {
  constexpr num::power_detail::Log2Terms kTerms;
  const double* const c = kTerms.at;
  const VD z2 = hn::Mul(z, z), z4 = hn::Mul(z2, z2);
  return plus(four_terms(c, z, z2), plus(four_terms(c + 4, z, z2), hn::Set(DD(), c[8]), z4), z4);
}

HWY_INLINE VD exp2_series(VD f) {
  constexpr num::power_detail::Exp2Terms kTerms;
  const double* const c = kTerms.at;
  const VD f2 = hn::Mul(f, f), f4 = hn::Mul(f2, f2), f8 = hn::Mul(f4, f4);
  const VD low = plus(four_terms(c, f, f2), four_terms(c + 4, f, f2), f4);
  return plus(low, plus(four_terms(c + 8, f, f2), hn::Set(DD(), c[12]), f4), f8);
}

HWY_INLINE VD log2_of(VD x) {
  namespace pd = num::power_detail;
  const DD dd;
  const DU64 du;
  const auto shifted = hn::Add(hn::BitCast(du, x), hn::Set(du, (pd::kExponents << 52) - pd::kSqrtHalf));
  const VD exponent =
      hn::Sub(hn::BitCast(dd, hn::Or(hn::ShiftRight<52>(shifted), hn::Set(du, pd::kTwoTo52))), hn::Set(dd, pd::kExponentShift));
  const VD m = hn::BitCast(dd, hn::Add(hn::And(shifted, hn::Set(du, pd::kMantissa)), hn::Set(du, pd::kSqrtHalf)));
  const VD one = hn::Set(dd, 1.0), t = hn::Div(hn::Sub(m, one), hn::Add(m, one));
  return hn::Add(exponent, hn::Mul(t, log2_series(hn::Mul(t, t))));
}

HWY_INLINE VD exp2_of(VD y) {
  namespace pd = num::power_detail;
  const DD dd;
  const DU64 du;
  const VD shift = hn::Set(dd, pd::kRoundShift), capped = hn::Min(y, hn::Set(dd, pd::kLargest));
  const VD rounded = hn::Add(capped, shift);
  const VD sum = exp2_series(hn::Sub(capped, hn::Sub(rounded, shift)));
  const VD power = hn::BitCast(dd, hn::Add(hn::BitCast(du, sum), hn::ShiftLeft<52>(hn::BitCast(du, rounded))));
  return hn::IfThenZeroElse(hn::Lt(y, hn::Set(dd, pd::kSmallest)), power);
}

// x^p of x >= 0, p neither 1 nor 2.
HWY_INLINE VD power_of(VD x, VD p) {
  const DD dd;
  const auto ordinary = hn::And(hn::Gt(x, hn::Zero(dd)), hn::Lt(x, hn::Set(dd, 1e300)));
  return hn::IfThenElse(ordinary, exp2_of(hn::Mul(p, log2_of(x))), x);
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
