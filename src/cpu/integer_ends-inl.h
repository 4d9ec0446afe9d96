// Blocks whose codes are E4M3's first or last ones, by integer sums of all of these. Proof of the tolerances: docs/numerics.md, "integer filter".
// Included once per target.
#if defined(NVFP4CAL_CPU_INTEGER_ENDS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_INTEGER_ENDS_INL_H
#undef NVFP4CAL_CPU_INTEGER_ENDS_INL_H
#else
#define NVFP4CAL_CPU_INTEGER_ENDS_INL_H
#endif

#include "cpu/integer_filter-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_INTEGER_SIMD

// 2^-e, e the exponent of m.
HWY_INLINE VF power_below(VF m) {
  const DI di;
  return hn::BitCast(DF(), hn::Sub(hn::Set(di, 254 << 23), hn::And(hn::BitCast(di, m), hn::Set(di, static_cast<int32_t>(num::kInfBits)))));
}

// Of E4M3's first codes: what they are multiples of the first one by, and 1 / that.
struct LowMultiples {
  float multiple[IntegerLadder::kLowRungs], reciprocal[IntegerLadder::kLowRungs];
  constexpr LowMultiples() : multiple(), reciprocal() {
    for (int k = 0; k < IntegerLadder::kLowRungs; ++k) {
      multiple[k] = static_cast<float>(IntegerLadder::kLowRungs - k) * 0x1p-12f;
      reciprocal[k] = 1.0f / static_cast<float>(IntegerLadder::kLowRungs - k);
    }
  }
};
inline constexpr LowMultiples kLowMultiples;

// E4M3's first codes. Their scales are multiples of the first one's.
struct LowRungs {
  static constexpr int kFirstCode = IntegerLadder::kLowRungs;
  static constexpr float kStep = 0x1p-12f, kLargest = 7.985f;
  VF first_scale, first_inverse;  // of code 1, relative to 2^e
  VF t;                           // 2 m / 7 and a little, in units of the code's value

  HWY_INLINE LowRungs(const IntegerLadder& ladder, VF m) {
    const DF df;
    t = hn::Mul(m, hn::Set(df, ladder.t_factor));
    const VF power = power_below(m);
    first_scale = hn::Mul(power, hn::Set(df, ladder.unit_scale * 0x1p-9f));
    first_inverse = hn::Div(hn::Set(df, ladder.low_inverse), power);
  }
  HWY_INLINE VF scale(int k) const { return hn::Mul(first_scale, hn::Set(DF(), kLowMultiples.multiple[k])); }
  HWY_INLINE VF scale_below(int k) const { return hn::Mul(first_scale, hn::Set(DF(), kLowMultiples.multiple[k] * kRootBelow)); }
  HWY_INLINE VU inverse(int k) const {
    const VI one = hn::NearestInt(hn::Mul(first_inverse, hn::Set(DF(), kLowMultiples.reciprocal[k])));
    return hn::BitCast(DU(), hn::Or(one, hn::ShiftLeft<16>(one)));  // more than sixteen bits: of a code that does not fit
  }
  static HWY_INLINE VU distance(VU y) { return level_distance12(y); }
  // Even codes above t are no better than their halves, whatever is rounded.
  HWY_INLINE bool ruled_out(int code) const {
    return hn::AllTrue(DF(), hn::Gt(hn::Set(DF(), code % 2 == 0 ? static_cast<float>(code) * num::kE4m3Min : -1.0f), t));
  }
  // Maxima are below 3.5 times 16 here: quotients of codes 15 .. 8 fit.
  static constexpr bool always_fits(int k) { return k < 8; }
  // What a step counts for: the value of the code whose quotients were multiplied.
  static HWY_INLINE VF step_value(VI code) {
    const DI di;
    const VI bits = hn::BitCast(di, hn::ConvertTo(DF(), code));
    const VI eighths = hn::Or(hn::And(bits, hn::Set(di, 0x007FFFFF)), hn::Set(di, 0x3C800000));  // 2^-6 .. 2^-5
    return hn::BitCast(DF(), eighths);
  }
};

// E4M3's last codes.
struct EndRungs {
  static constexpr int kFirstCode = num::kE4m3Count;
  static constexpr float kStep = 0x1p-11f, kLargest = 15.98f;
  const IntegerLadder& ladder;
  VI column;

  HWY_INLINE EndRungs(const IntegerLadder& tables, VF m) : ladder(tables) {
    const DI di;
    column = hn::And(hn::Sub(hn::ShiftRight<23>(hn::BitCast(di, m)), hn::Set(di, 127)), hn::Set(di, 15));
  }
  HWY_INLINE VF scale(int k) const { return lookup16(ladder.end_scale[k], column); }
  HWY_INLINE VF scale_below(int k) const { return hn::Mul(scale(k), hn::Set(DF(), kRootBelow)); }
  HWY_INLINE VU inverse(int k) const { return lookup16(ladder.end_inverse[k], column); }
  static HWY_INLINE VU distance(VU y) { return level_distance11(y); }
  static constexpr bool always_fits(int) { return false; }
  static HWY_INLINE VF step_value(VI code) { return values_of(code); }
};

// The scales of these ladders differ by more than a factor of 2, so keys are lower bounds scale * (|e| - delta), each with its own scale.
template <class Rungs>
struct EndKeys {
  const Rungs& rungs;
  const VU* u;
  VF least_scale;  // whose quotients fit, times kRootBelow
  VF steps;        // that they may be off by

  HWY_INLINE void quotients(int k, VU* HWY_RESTRICT y) const {
    const VU inverse = rungs.inverse(k);
    for (int j = 0; j < 8; ++j) y[j] = multiply_high(u[j], inverse);
  }
  // off_by: what the error may be less.
  HWY_INLINE VI key(int k, const VU* HWY_RESTRICT y, VF off_by) const {
    const DF df;
    VI sums[2];  // rung_sum's one takes longer here, where roots wait for it
    for (int j = 0; j < 8; ++j) {
      const VU e = Rungs::distance(y[j]);
      sums[j & 1] = j < 2 ? squares(e) : add_squares(sums[j & 1], e);
    }
    const VF scale_below = rungs.scale_below(k), norm = root_near(hn::ConvertTo(df, hn::Add(sums[0], sums[1])));
    VF bound = hn::Max(hn::MulSub(norm, scale_below, off_by), hn::Zero(df));
    if (!Rungs::always_fits(k)) bound = hn::IfThenElse(fits(k), bound, hn::Set(df, 1e18f));
    return key_of(bound, k);
  }
  HWY_INLINE MF fits(int k) const { return hn::Ge(rungs.scale_below(k), least_scale); }
  HWY_INLINE bool fits_any(int k) const { return !hn::AllFalse(DF(), fits(k)); }
  HWY_INLINE VF off_by(int k) const { return hn::Mul(steps, rungs.scale(k)); }
  HWY_INLINE VI key(int k) const {
    VU y[8];
    quotients(k, y);
    return key(k, y, off_by(k));
  }
};

HWY_INLINE Smallest smallest_of(const EndKeys<EndRungs>& keys) {
  Smallest smallest = Smallest::none();
  for (int k = 0; k < IntegerLadder::kEndRungs; k += 2) smallest = Smallest::of(smallest, KeyPair::of(keys.key(k), keys.key(k + 1)));
  return smallest;
}

// A code and its halves, whose quotients are the same times a power of two: off by as many steps more, each of which counts as many times less.
template <int code>
HWY_INLINE void add_halves(const EndKeys<LowRungs>& keys, VU* HWY_RESTRICT y, VF off_by, Smallest& smallest) {
  if (!keys.rungs.ruled_out(code) && (code > 2 || keys.fits_any(LowRungs::kFirstCode - code)))
    smallest.add(keys.key(LowRungs::kFirstCode - code, y, off_by));
  if constexpr (code % 2 == 0) {
    for (int j = 0; j < 8; ++j) y[j] = double_halves(y[j]);
    add_halves<code / 2>(keys, y, off_by, smallest);
  }
}

template <int code>
HWY_INLINE void add_family(const EndKeys<LowRungs>& keys, Smallest& smallest) {
  VU y[8];
  keys.quotients(LowRungs::kFirstCode - code, y);
  add_halves<code>(keys, y, keys.off_by(LowRungs::kFirstCode - code), smallest);
}

HWY_INLINE Smallest smallest_of(const EndKeys<LowRungs>& keys) {
  constexpr int kFirst = LowRungs::kFirstCode;
  Smallest smallest =
      Smallest::of(KeyPair::of(keys.key(kFirst - 15), keys.key(kFirst - 13)), KeyPair::of(keys.key(kFirst - 11), keys.key(kFirst - 9)));
  add_family<14>(keys, smallest);
  add_family<12>(keys, smallest);
  add_family<10>(keys, smallest);
  add_family<8>(keys, smallest);
  return smallest;
}

// Judges lanes whose codes are E4M3's first or last ones.
template <class Rungs>
HWY_INLINE Verdict judge_ends(const IntegerLadder& ladder, const IntegerGroup& g, Delta delta) {
  const DF df;
  const DI di;
  const Rungs rungs(ladder, g.m);
  const VF mantissa = mantissa_of(g.m);
  const VF steps = hn::MulAdd(mantissa, hn::Set(df, 1.04f), hn::Set(df, delta.rival * 1.01f));
  const Smallest smallest =
      smallest_of(EndKeys<Rungs>{rungs, g.u, hn::Mul(mantissa, hn::Set(df, kRootBelow * Rungs::kStep / Rungs::kLargest)), steps});
  const VI first = hn::Set(di, Rungs::kFirstCode);
  const VI code = hn::Sub(first, rung_of_key(smallest.first));
  // the winner's upper bound: its lower one and its own tolerance to both sides
  const VF unit = hn::Mul(power_below(g.m), hn::Set(df, ladder.unit_scale * Rungs::kStep * 1.001f));
  const VF scale = hn::Mul(unit, Rungs::step_value(code));
  const VF low = hn::BitCast(df, smallest.first);
  const VF high = hn::MulAdd(hn::Add(hn::Add(steps, steps), hn::Set(df, delta.extra())), hn::Mul(scale, hn::Set(df, 1.001f)),
                             hn::Mul(low, hn::Set(df, 1.0f + 0x1p-12f)));
  const MF none = hn::Lt(low, low);
  return verdict_up_to(high, smallest, code, hn::Sub(first, rung_of_key(smallest.second)), /*deeper=*/none);
}

#endif  // NVFP4CAL_INTEGER_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
