// The integer filter on SIMD lanes, one block a lane: candidates of a group of blocks and which of them need a closer look.
// Proof of the tolerances: docs/numerics.md, "integer filter". Included once per target (AVX-512 with VBMI and VNNI, AVX2).
#if defined(NVFP4CAL_CPU_INTEGER_FILTER_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_INTEGER_FILTER_INL_H
#undef NVFP4CAL_CPU_INTEGER_FILTER_INL_H
#else
#define NVFP4CAL_CPU_INTEGER_FILTER_INL_H
#endif

#include "cpu/integer_ladder.h"
#include "cpu/integer_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_INTEGER_SIMD

// A little more than the root of x >= 0.
HWY_INLINE VF root_above(VF x) {
  const DF df;
  const VF positive = hn::Max(x, hn::Set(df, 1e-30f));
  return hn::Mul(hn::Mul(positive, hn::Set(df, 1.0005f)), hn::ApproximateReciprocalSqrt(positive));
}

// The root of x >= 0, nearly: times kRootBelow it is less, by no more than a relative 2^-12.4.
HWY_INLINE VF root_near(VF x) {
#if HWY_MAX_BYTES == 64
  return hn::Mul(x, hn::ApproximateReciprocalSqrt(hn::Max(x, hn::Set(DF(), 1e-30f))));
#else
  return hn::Sqrt(x);
#endif
}
constexpr float kRootBelow = HWY_MAX_BYTES == 64 ? 1.0f - 0x1p-13f : 1.0f - 0x1p-16f;

HWY_INLINE VF root_below(VF x) { return hn::Mul(root_near(x), hn::Set(DF(), kRootBelow)); }

// What the filter says of kLanes blocks.
struct Verdict {
  VI code, rival;  // the two smallest sums
  MF open;         // lanes where the rival may be the better one ...
  MF crowded;      // ... or a third code
  MF deeper;       // lanes whose best code may lie below the ladder
};

// Two keys, the smaller one first. A key is a sum's float bits, or those of a bound, with the rung in its last ones: four, or as many as a ladder needs.
struct KeyPair {
  VI first, second;

  static HWY_INLINE KeyPair of(VI a, VI b) { return {hn::Min(a, b), hn::Max(a, b)}; }
};

// The three smallest keys.
struct Smallest {
  VI first, second, third;

  static HWY_INLINE Smallest none() {
    const VI no_key = hn::Set(DI(), kNoKey);
    return {no_key, no_key, no_key};
  }
  HWY_INLINE void add(VI key) {
    const VI not_first = hn::Max(first, key);
    first = hn::Min(first, key);
    const VI not_second = hn::Max(second, not_first);
    second = hn::Min(second, not_first);
    third = hn::Min(third, not_second);
  }
  // By Batcher's merging networks: fewer steps than to add key by key.
  static HWY_INLINE Smallest of(KeyPair a, KeyPair b) {
    const VI not_first = hn::Max(a.first, b.first), not_last = hn::Min(a.second, b.second);
    return {hn::Min(a.first, b.first), hn::Min(not_first, not_last), hn::Max(not_first, not_last)};
  }
  static HWY_INLINE Smallest of(const Smallest& a, KeyPair b) {
    const VI odd = hn::Min(hn::Max(a.first, b.first), a.third), even = hn::Min(a.second, b.second);
    return {hn::Min(a.first, b.first), hn::Min(odd, even), hn::Max(odd, even)};
  }
  static constexpr int32_t kNoKey = 0x7F000000;
};

template <int bits = 4>
HWY_INLINE VI key_of(VF sum, int rung) {
  const DI di;
  return hn::Or(hn::AndNot(hn::Set(di, (1 << bits) - 1), hn::BitCast(di, sum)), hn::Set(di, rung));
}

template <int bits = 4>
HWY_INLINE VI rung_of_key(VI key) {
  return hn::And(key, hn::Set(DI(), (1 << bits) - 1));
}

// Rivals are in question up to limit.
HWY_INLINE Verdict verdict_up_to(VF limit, const Smallest& smallest, VI code, VI rival, MF deeper) {
  const DF df;
  return {code, rival, hn::Le(hn::BitCast(df, smallest.second), limit), hn::Le(hn::BitCast(df, smallest.third), limit), deeper};
}

// The maximum relative to the power of two below it, [1, 2).
HWY_INLINE VF mantissa_of(VF m) {
  const DI di;
  return hn::BitCast(DF(), hn::Or(hn::And(hn::BitCast(di, m), hn::Set(di, 0x007FFFFF)), hn::Set(di, 0x3F800000)));
}

// A little more than a top code's scale, relative to 2^e.
HWY_INLINE VF top_scale_above(VF mantissa) { return hn::Mul(mantissa, hn::Set(DF(), 2.0f / 7.0f * 1.001f)); }

// Where a block stands in the main ladder.
struct Position {
  VF t;    // 2 m / 7 and a little, in units of the code's value
  VI top;  // float bits of the top code's value

  HWY_INLINE Position(const IntegerLadder& ladder, VF m) {
    const DI di;
    t = hn::Mul(m, hn::Set(DF(), ladder.t_factor));
    const VI floor = hn::And(hn::BitCast(di, t), hn::Set(di, static_cast<int32_t>(0xFFF00000u)));
    top = hn::Min(floor, hn::BitCast(di, hn::Set(DF(), num::kE4m3Max)));
  }
  // The main ladder judges lanes that are neither: codes below 16, and maxima that every code clips far.
  HWY_INLINE MF low() const { return hn::Lt(t, hn::Set(DF(), 0x1p-5f)); }
  HWY_INLINE MF beyond() const { return hn::Gt(t, hn::Set(DF(), 770.0f)); }
  HWY_INLINE MF inside() const { return hn::And(hn::Ge(t, hn::Set(DF(), 0x1p-5f)), hn::Le(t, hn::Set(DF(), 770.0f))); }
  HWY_INLINE MF at_end() const { return hn::Ge(t, hn::Set(DF(), num::kE4m3Max)); }
  // The last rung with m <= 7.985 v: from there on quotients do not fit. Of code 16 rung 9 is no code.
  HWY_INLINE VI last_rung() const {
    const DI di;
    const VI least = hn::BitCast(di, hn::Mul(t, hn::Set(DF(), 3.5f / 7.985f)));
    const VI last = hn::ShiftRight<20>(hn::Sub(top, least));
    return hn::IfThenElse(hn::Eq(top, hn::BitCast(di, hn::Set(DF(), 0x1p-5f))), hn::Min(last, hn::Set(di, 8)), last);
  }
  HWY_INLINE VI code(VI rung) const { return hn::Sub(hn::Sub(hn::ShiftRight<20>(top), hn::Set(DI(), 960)), rung); }
  // Float bits of a rung's value.
  HWY_INLINE VI value(VI rung) const { return hn::Sub(top, hn::ShiftLeft<20>(rung)); }
  // Value of a rung relative to t.
  HWY_INLINE VF value_over_t(VI rung) const { return hn::Mul(hn::BitCast(DF(), value(rung)), hn::ApproximateReciprocal(t)); }
};

// Integer sums of squares of one rung, and of the one eight below it (half its scale: twice its quotients).
struct RungSums {
  VI sum, half_sum;
};

// What errors are multiplied with before they are squared.
struct NoWeights {
  static constexpr bool kWeighted = false;
  HWY_INLINE VU operator()(VU e, int) const { return e; }
  // How far sums' roots may be off, from how far quotients may be.
  HWY_INLINE VF delta(VF quotients) const { return quotients; }
};

template <VU (*distance)(VU), class Weights>
HWY_INLINE VI rung_sum(const VU* HWY_RESTRICT u, VU inverse, const Weights& weigh) {
  VI sum;
  for (int j = 0; j < 8; ++j) {
    const VU e = weigh(distance(multiply_high(u[j], inverse)), j);
    sum = j == 0 ? squares(e) : add_squares(sum, e);
  }
  return sum;
}

template <class Weights>
HWY_INLINE RungSums rung_sums(const VU* HWY_RESTRICT u, VU inverse, const Weights& weigh) {
  VI sum, half_sum;
  for (int j = 0; j < 8; ++j) {
    const VU y = multiply_high(u[j], inverse);
    const VU e = weigh(level_distance12(y), j), half = weigh(level_distance12(double_halves(y)), j);
    sum = j == 0 ? squares(e) : add_squares(sum, e);
    half_sum = j == 0 ? squares(half) : add_squares(half_sum, half);
  }
  return {sum, half_sum};
}

// A lower bound of the root of sum w / 2 (|x| - 6 scale)_+^2, both relative to 2^e; scale: no less than the code's. What is clipped is shifted right by `bits`
// first, so that sixteen squares fit into 31 bits.
template <int bits, class Weights>
HWY_INLINE VF clipping_root(const IntegerGroup& g, VF scale, const Weights& weigh) {
  const DF df;
  const DI di;
  // u is up to 1 larger than |x|
  const VI limit = hn::Min(hn::ConvertTo(di, hn::MulAdd(scale, hn::Set(df, 6.001f * 0x1p15f), hn::Set(df, 3.0f))), hn::Set(di, 0xFFFF));
  const VU both = hn::BitCast(DU(), hn::Or(limit, hn::ShiftLeft<16>(limit)));
  VI sum = hn::Zero(di);
  for (int j = 0; j < 8; ++j) sum = add_squares(sum, weigh(above_shifted<bits>(g.u[j], both), j));
  const VF steps = hn::Sub(root_below(hn::ConvertTo(df, sum)), hn::Set(df, Weights::kRounding));
  return hn::Mul(hn::Max(steps, hn::Zero(df)), hn::Set(df, 0x1p-15f * (1 << bits)));
}

// The column of a ladder's tables that belongs to a value, by its float bits.
HWY_INLINE VI column_of(VI value, VF m) {
  const DI di;
  const VI parity = hn::And(hn::Xor(value, hn::BitCast(di, m)), hn::Set(di, 1 << 23));
  return hn::ShiftRight<20>(hn::Or(hn::And(value, hn::Set(di, 7 << 20)), parity));
}

// The best codes of the main ladder, for the lanes that fit it.
template <class Weights>
HWY_INLINE Smallest smallest_keys(const IntegerLadder& ladder, const IntegerGroup& g, const Position& at, const Weights& weigh) {
  const DF df;
  const DI di;
  const VI column = column_of(at.top, g.m);
  const VI last = at.last_rung();
  const auto key = [&](int k, VI sum) HWY_ATTR {
    VF error = hn::Mul(hn::ConvertTo(df, sum), lookup16(ladder.square[k], column));
    if (k >= 4)
      error = hn::IfThenElse(hn::RebindMask(df, hn::Gt(last, hn::Set(di, k - 1))), error, hn::BitCast(df, hn::Set(di, Smallest::kNoKey)));
    return key_of(error, k);
  };
  const auto rung_key = [&](int k) HWY_ATTR { return key(k, rung_sum<level_distance12>(g.u, lookup16(ladder.inverse[k], column), weigh)); };
  // of a rung and the one eight below it
  const auto rung_keys = [&](int k) HWY_ATTR {
    const RungSums sums = rung_sums(g.u, lookup16(ladder.inverse[k], column), weigh);
    return KeyPair::of(key(k, sums.sum), key(k + 8, sums.half_sum));
  };
  Smallest smallest = Smallest::of(rung_keys(0), rung_keys(1));
  for (int k = 2; k < 8; k += 2) smallest = Smallest::of(smallest, KeyPair::of(rung_key(k), rung_key(k + 1)));
  return smallest;
}

// How far the root of a rival's sum may be above the true one, relative to its scale.
template <class Weights>
HWY_INLINE VF slack_per_scale(VF mantissa, Delta delta, const Weights& weigh) {
  const DF df;
  return hn::Mul(weigh.delta(hn::Add(mantissa, hn::Set(df, delta.rival))), hn::Set(df, 1.01f * 0x1p-12f));
}

// The limit up to which sums may be better than `best`: (root + slack)^2, with the slack of each of the two codes.
HWY_INLINE VF contender_limit(VF best, VF scale, VF rival_scale, VF per_scale, Delta delta) {
  const DF df;
  const VF root = root_above(best);
  VF slack = hn::MulAdd(root, hn::Set(df, 0x1p-15f), hn::Mul(hn::Add(rival_scale, scale), per_scale));
  if (delta.winner > delta.rival) slack = hn::MulAdd(scale, hn::Set(df, delta.extra() * 0x1p-12f), slack);
  return hn::MulAdd(slack, hn::MulAdd(root, hn::Set(df, 2.0f), slack), best);
}

// Judges them.
template <class Weights>
HWY_INLINE Verdict verdict_of(const Smallest& smallest, const IntegerGroup& g, const Position& at, Delta delta, const Weights& weigh) {
  const DF df;
  const DI di;
  const VI last = at.last_rung();
  const VF mantissa = mantissa_of(g.m);
  const VF top_scale = top_scale_above(mantissa);
  const VI rung = rung_of_key(smallest.first);
  VF scale = hn::Mul(top_scale, at.value_over_t(rung));
  scale =
      hn::IfThenElse(hn::RebindMask(df, hn::Gt(rung, hn::Set(di, 7))), hn::Add(scale, scale), scale);  // doubled quotients, doubled error
  // the rival's scale is at most the top one's
  const VF limit = contender_limit(hn::BitCast(df, smallest.first), scale, top_scale, slack_per_scale(mantissa, delta, weigh), delta);
  // With weights, and at E4M3's end, no rule ends the ladder: the first code below it, and with it all of them, must clip too much.
  const VF below = hn::Mul(top_scale, at.value_over_t(hn::Add(last, hn::Set(di, 1))));
  MF deeper;
  if constexpr (Weights::kWeighted) {
    const VF clipped = clipping_root<1>(g, below, weigh);
    deeper = hn::Le(hn::Mul(clipped, clipped), limit);
  } else {
    const VF clipped = hn::Max(hn::NegMulAdd(below, hn::Set(df, 6.001f), mantissa), hn::Zero(df));
    deeper = hn::And(at.at_end(), hn::Le(hn::Mul(clipped, clipped), limit));
  }
  return verdict_up_to(limit, smallest, at.code(rung), at.code(rung_of_key(smallest.second)), deeper);
}

#endif  // NVFP4CAL_INTEGER_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
