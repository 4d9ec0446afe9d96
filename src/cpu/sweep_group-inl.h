// The search in float32, one block a lane: its filter, the definition it falls back on, and the load of a group. Included once per target.
#if defined(NVFP4CAL_CPU_SWEEP_GROUP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_SWEEP_GROUP_INL_H
#undef NVFP4CAL_CPU_SWEEP_GROUP_INL_H
#else
#define NVFP4CAL_CPU_SWEEP_GROUP_INL_H
#endif

#include "cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// One candidate of every lane.
struct Rung {
  VF value, scale, reciprocal;
};

HWY_INLINE Rung rung_of(const SweepPlan& plan, VI code) {
  const DF df;
  const DI di;
  const VF value = values_of(code);
  // scale(v) = scale(mantissa of v) * 2^exponent(v): exact, since G is in [1, 2)
  const VI bits = hn::BitCast(di, value);
  const VI mantissa = hn::And(hn::ShiftRight<20>(bits), hn::Set(di, 7));
  const VI exponent = hn::Sub(hn::And(bits, hn::Set(di, static_cast<int32_t>(num::kInfBits))), hn::Set(di, 127 << 23));
  const VF scale = hn::BitCast(df, hn::Add(hn::BitCast(di, lookup8(plan.scale, mantissa)), exponent));
  const VF reciprocal = hn::BitCast(df, hn::Sub(hn::BitCast(di, lookup8(plan.reciprocal, mantissa)), exponent));
  return {value, scale, reciprocal};
}

// A group of kLanes blocks.
template <int block>
struct Group {
  VF x[block];  // magnitudes, normalized units
  VF w[block];  // weights, if any
  VF m;         // block maxima
  VI top;       // the ladder of each lane, see Ladder
  VF u, lower, always;

  HWY_INLINE MF keep(VI code, VF value) const {
    const MF rule = hn::Or(hn::Ge(hn::Mul(value, lower), u), hn::Gt(value, always));
    return hn::And(rule, hn::RebindMask(DF(), hn::Gt(code, hn::Zero(DI()))));
  }
};

// The definition: true division, nearest even, fused, in order. Few blocks come here, so that it is not unrolled.
template <int block, bool weighted>
HWY_INLINE VF exact_error(const Group<block>& g, VF scale) {
  VF error = hn::Zero(DF());
#pragma GCC unroll 2
  for (int i = 0; i < block; ++i) {
    const VF q = round_e2m1(hn::Div(g.x[i], scale));
    const VF r = hn::NegMulAdd(q, scale, g.x[i]);
    error = hn::MulAdd(weighted ? hn::Mul(g.w[i], r) : r, r, error);
  }
  return error;
}

template <int block, bool weighted>
HWY_INLINE VF filter_error(const Group<block>& g, LevelFilter& level, const Rung& rung) {
  level.set(rung.reciprocal);
  VF even = hn::Zero(DF()), odd = even;
  for (int i = 0; i < block; i += 2) {
    const VF r0 = hn::NegMulAdd(level(g.x[i]), rung.scale, g.x[i]);
    const VF r1 = hn::NegMulAdd(level(g.x[i + 1]), rung.scale, g.x[i + 1]);
    even = hn::MulAdd(weighted ? hn::Mul(g.w[i], r0) : r0, r0, even);
    odd = hn::MulAdd(weighted ? hn::Mul(g.w[i + 1], r1) : r1, r1, odd);
  }
  return hn::Add(even, odd);
}

// Clipping error sum w (x - 6 s)_+^2: a lower bound of the error, and it grows as s falls. The limit lies a little above 6 s, so that
// its rounding cannot make an element look clipped that the definition sees as exactly 6 s.
template <int block>
HWY_INLINE VF clipping_error(const Group<block>& g, VF scale) {
  const VF limit = hn::Mul(scale, hn::Set(DF(), 6.0f * (1.0f + 0x1p-20f)));
  VF error = hn::Zero(DF());
  for (int i = 0; i < block; ++i) {
    const VF over = hn::Max(hn::Sub(g.x[i], limit), hn::Zero(DF()));
    error = hn::MulAdd(hn::Mul(g.w[i], over), over, error);
  }
  return error;
}

struct Choice {
  VI code;
  MF near;   // lanes whose two best candidates are too near to tell apart
  VF limit;  // errors up to this are
};

// How near is too near: misjudged levels and the order of the sum move an error by less than 2^-17 of itself; targets
// without fused operations also round q * s. Generous by a factor of two and more.
template <int block>
HWY_INLINE VF near_limit(const Group<block>& g, VF best) {
  const DF df;
  const VF limit = hn::MulAdd(best, hn::Set(df, 0x1p-15f), hn::Add(best, hn::Set(df, 0x1p-120f)));
#if HWY_NATIVE_FMA
  (void)g;
  return limit;
#else
  const VF unfused = hn::Mul(hn::Mul(g.m, hn::Sqrt(best)), hn::Set(df, 0x1p-16f));
  return hn::Add(limit, hn::MulAdd(hn::Mul(g.m, g.m), hn::Set(df, 0x1p-36f), unfused));
#endif
}

// Lanes where a scale clips no more than what is near enough. If one clips more, so do all smaller ones.
template <int block>
HWY_INLINE MF clips_within(const Group<block>& g, VF scale, VF limit) {
  return hn::Le(clipping_error(g, scale), hn::MulAdd(limit, hn::Set(DF(), 0x1p-10f), limit));
}

template <int block, bool weighted>
HWY_INLINE Choice filter(const SweepPlan& plan, const Group<block>& g) {
  const DF df;
  const DI di;
  const VF infinity = hn::Set(df, num::from_bits(num::kInfBits));
  LevelFilter level;
  VF best = infinity, second = infinity;
  VI chosen = g.top;
  MF open = hn::Ge(best, best);  // all
  VI code = g.top;
  for (int step = 0;; ++step, code = hn::Sub(code, hn::Set(di, 1))) {
    const Rung rung = rung_of(plan, code);
    open = hn::And(open, g.keep(code, rung.value));
    if (weighted && step % 4 == 3) open = hn::And(open, clips_within(g, rung.scale, near_limit(g, best)));
    if (hn::AllFalse(df, open)) break;
    const VF error = hn::IfThenElse(open, filter_error<block, weighted>(g, level, rung), infinity);
    const MF better = hn::And(open, hn::Le(error, best));
    second = hn::Min(second, hn::Max(best, error));
    best = hn::Min(best, error);
    chosen = hn::IfThenElse(hn::RebindMask(di, better), code, chosen);
  }
  const VF limit = near_limit(g, best);
  return {chosen, hn::Le(second, limit), limit};
}

// By the definition, for the lanes that need it. limit: the largest error that the filter may give the best code.
template <int block, bool weighted>
HWY_NOINLINE VI exact(const SweepPlan& plan, const Group<block>& g, MF open, VF limit) {
  const DF df;
  const DI di;
  LevelFilter level;
  VF best = hn::Set(df, num::from_bits(num::kInfBits));
  VI chosen = g.top;
  VI code = g.top;
  for (int step = 0;; ++step, code = hn::Sub(code, hn::Set(di, 1))) {
    const Rung rung = rung_of(plan, code);
    open = hn::And(open, g.keep(code, rung.value));
    if (weighted && step % 4 == 3) open = hn::And(open, clips_within(g, rung.scale, limit));
    if (hn::AllFalse(df, open)) break;
    // with weights the ladder is long, and all but a few codes are out
    MF near = open;
    if (weighted) near = hn::And(open, hn::Le(filter_error<block, weighted>(g, level, rung), limit));
    if (weighted && hn::AllFalse(df, near)) continue;
    const VF error = exact_error<block, weighted>(g, rung.scale);
    const MF better = hn::And(near, hn::Le(error, best));
    best = hn::IfThenElse(better, error, best);
    chosen = hn::IfThenElse(hn::RebindMask(di, better), code, chosen);
  }
  return chosen;
}

// Without fused operations: the scalar definition, for the lanes that need it.
template <int block, bool weighted>
HWY_NOINLINE VI exact_by_lane(const SweepPlan& plan, const Group<block>& g, const Choice& choice) {
  const DF df;
  const DI di;
  HWY_ALIGN float x[block][kLanes], w[block][kLanes];
  HWY_ALIGN int32_t codes[kLanes], near[kLanes];
  for (int i = 0; i < block; ++i) {
    hn::Store(g.x[i], df, x[i]);
    if (weighted) hn::Store(g.w[i], df, w[i]);
  }
  hn::Store(choice.code, di, codes);
  hn::Store(hn::VecFromMask(di, hn::RebindMask(di, choice.near)), di, near);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!near[lane]) continue;
    float magnitudes[block], weights[block];
    for (int i = 0; i < block; ++i) {
      magnitudes[i] = x[i][lane];
      weights[i] = weighted ? w[i][lane] : 1.0f;
    }
    codes[lane] = sweep_block(plan, magnitudes, weighted ? weights : nullptr);
  }
  return hn::Load(di, codes);
}

// num::CandidateRule::top_code of every lane.
HWY_INLINE VI top_code(VF u) {
  const DF df;
  const DI di;
  const VF capped = hn::Min(hn::Mul(u, hn::Set(df, 1.0f + 0x1p-20f)), hn::Set(df, num::kE4m3Max));
  const VI code = hn::Sub(hn::ShiftRight<20>(hn::BitCast(di, capped)), hn::Set(di, 960));
  return hn::Max(code, hn::Set(di, 15));
}

template <int block>
HWY_INLINE void set_ladder(const SweepPlan& plan, Group<block>& g) {
  const DF df;
  const DI di;
  if (plan.has_window) {
    HWY_ALIGN float m[kLanes], u[kLanes];
    HWY_ALIGN int32_t top[kLanes];
    hn::Store(g.m, df, m);
    for (int lane = 0; lane < kLanes; ++lane) {
      const Ladder ladder = ladder_of(plan, m[lane]);
      top[lane] = ladder.top;
      u[lane] = ladder.u;
    }
    g.top = hn::Load(di, top);
    g.u = hn::Load(df, u);
    g.lower = hn::Set(df, 1.0f);
    g.always = hn::Set(df, 2.0f * num::kE4m3Max);
    return;
  }
  const VF u = hn::Div(hn::Mul(g.m, hn::Set(df, plan.rule.u_factor)), hn::Set(df, plan.amax));
  g.top = top_code(u);
  g.u = plan.weighted ? hn::Zero(df) : u;
  g.lower = hn::Set(df, plan.weighted ? 1.0f : plan.rule.lower);
  g.always = hn::Set(df, plan.weighted ? 2.0f * num::kE4m3Max : plan.rule.always);
}

// Codes of a loaded group.
template <int block, bool weighted>
HWY_INLINE VI search(const SweepPlan& plan, Group<block>& g) {
  const DF df;
  const DI di;
  set_ladder(plan, g);
  Choice choice = filter<block, weighted>(plan, g);
  const MF zero = hn::Le(g.m, hn::Set(df, plan.has_window ? 0.0f : plan.zero_below));
  const MF saturated = hn::Ge(g.m, hn::Set(df, plan.saturation));
  choice.near = hn::AndNot(hn::Or(zero, saturated), choice.near);
  if (HWY_UNLIKELY(!hn::AllFalse(df, choice.near))) {
#if HWY_NATIVE_FMA
    choice.code = hn::IfThenElse(hn::RebindMask(di, choice.near), exact<block, weighted>(plan, g, choice.near, choice.limit), choice.code);
#else
    choice.code = exact_by_lane<block, weighted>(plan, g, choice);
#endif
  }
  const VI largest = plan.has_window || plan.weighted ? g.top : hn::Set(di, num::kE4m3Count);
  choice.code = hn::IfThenElse(hn::RebindMask(di, saturated), largest, choice.code);
  return hn::IfThenElse(hn::RebindMask(di, zero), hn::Set(di, 1), choice.code);
}

// Transposes, normalizes and finds the maxima; false if an element is not finite.
template <class Loader, int block>
HWY_INLINE bool load_group(const SweepPlan& plan, const char* data, Group<block>& g) {
  const DF df;
  const DU du;
  load_magnitudes<Loader, block>(data, g.x);
  VU largest[4] = {hn::Zero(du), hn::Zero(du), hn::Zero(du), hn::Zero(du)};
  const VF prescale = hn::Set(df, plan.prescale);
  for (int i = 0; i < block; ++i) {
    largest[i % 4] = hn::Max(largest[i % 4], hn::BitCast(du, g.x[i]));
    g.x[i] = hn::Mul(g.x[i], prescale);
  }
  if (HWY_UNLIKELY(plan.prescale2 != 1.0f)) {
    for (int i = 0; i < block; ++i) g.x[i] = hn::Mul(g.x[i], hn::Set(df, plan.prescale2));
  }
  const VU bits = hn::Max(hn::Max(largest[0], largest[1]), hn::Max(largest[2], largest[3]));
  g.m = hn::Mul(hn::Mul(hn::BitCast(df, bits), prescale), hn::Set(df, plan.prescale2));
  return hn::AllTrue(du, hn::Lt(bits, hn::Set(du, num::kInfBits)));
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
