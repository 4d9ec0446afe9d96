// With rows of weights: blocks whose best code may lie below the main ladder. Eight more codes are tried in integers; the first below those clips too much for almost
// all of them. Proof of the tolerances: docs/numerics.md, "integer filter". Included once per target.
#if defined(NVFP4CAL_CPU_INTEGER_DEEPER_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_INTEGER_DEEPER_INL_H
#undef NVFP4CAL_CPU_INTEGER_DEEPER_INL_H
#else
#define NVFP4CAL_CPU_INTEGER_DEEPER_INL_H
#endif

#include "cpu/integer_roots-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_INTEGER_SIMD

// Rungs of both ladders in keys: 0 .. 9 of the main one, 16 .. 23 of the deeper one.
constexpr int kFirstDeeper = 16, kRungBits = 5;

HWY_INLINE VI with_five_bits(VI key) { return hn::AndNot(hn::Set(DI(), kFirstDeeper), key); }

// The best codes of both ladders. main: those of the main one.
HWY_INLINE Smallest deeper_keys(const IntegerLadder& ladder, const IntegerGroup& g, const Position& at, const Smallest& main,
                                const RootWeights& weigh) {
  const VI first = hn::Add(at.last_rung(), hn::Set(DI(), 1));
  const VI column = column_of(at.value(first), g.m);
  const auto key = [&](int k) HWY_ATTR {
    const VI sum = rung_sum<level_distance10>(g.u, lookup16(ladder.deeper_inverse[k], column), weigh);
    return key_of<kRungBits>(hn::Mul(hn::ConvertTo(DF(), sum), lookup16(ladder.deeper_square[k], column)), kFirstDeeper + k);
  };
  Smallest smallest{with_five_bits(main.first), with_five_bits(main.second), with_five_bits(main.third)};
#pragma GCC unroll 1
  for (int k = 0; k < IntegerLadder::kDeeperRungs; k += 2) smallest = Smallest::of(smallest, KeyPair::of(key(k), key(k + 1)));
  return smallest;
}

// Judges them. Steps of 2^-10 are four of those that the main ladder's tolerance counts, so that scales count four times.
HWY_INLINE Verdict deeper_verdict(const Smallest& smallest, const IntegerGroup& g, const Position& at, Delta delta,
                                  const RootWeights& weigh) {
  const DF df;
  const DI di;
  const VI last = at.last_rung();
  const auto rung_of = [&](VI key) HWY_ATTR {
    const VI rung = rung_of_key<kRungBits>(key);
    return hn::IfThenElse(hn::Lt(rung, hn::Set(di, kFirstDeeper)), rung, hn::Add(last, hn::Sub(rung, hn::Set(di, kFirstDeeper - 1))));
  };
  const VF mantissa = mantissa_of(g.m);
  const VF top_scale = top_scale_above(mantissa);
  const auto scale_of = [&](VI rung) HWY_ATTR { return hn::Mul(top_scale, at.value_over_t(rung)); };
  const VI rung = rung_of(smallest.first);
  const VF doubled = hn::IfThenElse(hn::RebindMask(df, hn::Gt(rung, hn::Set(di, 7))), hn::Set(df, 2.0f), hn::Set(df, 1.0f));
  const VF steps = hn::IfThenElse(hn::RebindMask(df, hn::Gt(rung, last)), hn::Set(df, 4.0f), doubled);
  const VF rival_scale = hn::Max(top_scale, hn::Mul(scale_of(hn::Add(last, hn::Set(di, 1))), hn::Set(df, 4.0f)));
  const VF limit = contender_limit(hn::BitCast(df, smallest.first), hn::Mul(scale_of(rung), steps), rival_scale,
                                   slack_per_scale(mantissa, delta, weigh), delta);
  const VI end = hn::Add(last, hn::Set(di, IntegerLadder::kDeeperRungs));
  const VF clipped = clipping_root<2>(g, scale_of(hn::Add(end, hn::Set(di, 1))), weigh);
  // codes below 8 are no steps of float bits
  const MF deeper = hn::Or(hn::Le(hn::Mul(clipped, clipped), limit), hn::RebindMask(df, hn::Lt(at.code(end), hn::Set(di, 8))));
  return verdict_up_to(limit, smallest, at.code(rung), at.code(rung_of(smallest.second)), deeper);
}

#endif  // NVFP4CAL_INTEGER_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
