// Steps of the integer search that no usual block comes to, one function each for all loaders. Included once per target.
#if defined(NVFP4CAL_CPU_INTEGER_APART_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_INTEGER_APART_INL_H
#undef NVFP4CAL_CPU_INTEGER_APART_INL_H
#else
#define NVFP4CAL_CPU_INTEGER_APART_INL_H
#endif

#include "cpu/integer_deeper-inl.h"
#include "cpu/integer_ends-inl.h"
#include "cpu/sweep_group-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_INTEGER_SIMD

template <bool weighted>
HWY_NOINLINE VI search_floats(const SweepPlan& plan, Group<16>& g) {
  return search<16, weighted>(plan, g);
}

template <class Weights>
HWY_NOINLINE Smallest keys_apart(const IntegerLadder& ladder, const IntegerGroup& g, const Weights& weigh) {
  return smallest_keys(ladder, g, Position(ladder, g.m), weigh);
}

template <class Weights>
HWY_NOINLINE Verdict judge_main_apart(const IntegerLadder& ladder, const IntegerGroup& g, Delta delta, const Weights& weigh) {
  return verdict_of(keys_apart(ladder, g, weigh), g, Position(ladder, g.m), delta, weigh);
}

HWY_NOINLINE inline Verdict judge_deeper_apart(const IntegerLadder& ladder, const IntegerGroup& g, Delta delta, const RootWeights& weigh) {
  const Position at(ladder, g.m);
  return deeper_verdict(deeper_keys(ladder, g, at, keys_apart(ladder, g, weigh), weigh), g, at, delta, weigh);
}

template <class Rungs>
HWY_NOINLINE Verdict judge_ends_apart(const IntegerLadder& ladder, const IntegerGroup& g, Delta delta) {
  return judge_ends<Rungs>(ladder, g, delta);
}

// Roots of kLanes blocks from b on, which may reach over the end of the period.
HWY_NOINLINE inline const RootGroup* make_roots(const BlockWeights& weights, int64_t b, bool neighbours, RootGroup& group) {
  const int64_t row = (weights.first + b) % weights.period;
  if (row + kLanes <= weights.period) {
    load_roots(weights.roots + row * 16, neighbours, group);
  } else {
    gather_roots(weights, hn::Add(hn::Iota(DU(), 0), hn::Set(DU(), static_cast<uint32_t>(b))), neighbours, group);
  }
  return &group;
}

// Each lane the better of its own two codes, by the float filter.
template <bool weighted>
HWY_NOINLINE Choice choose_of_two(const SweepPlan& plan, const Group<16>& g, VI first, VI second) {
  LevelFilter level;
  const VF first_error = filter_error<16, weighted>(g, level, rung_of(plan, first));
  const VF second_error = filter_error<16, weighted>(g, level, rung_of(plan, second));
  const VF best = hn::Min(first_error, second_error);
  const VF limit = near_limit(g, best);
  const MF near = hn::Le(hn::Max(first_error, second_error), limit);
  return {hn::IfThenElse(hn::RebindMask(DI(), hn::Lt(second_error, first_error)), second, first), near, limit};
}

#endif  // NVFP4CAL_INTEGER_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
