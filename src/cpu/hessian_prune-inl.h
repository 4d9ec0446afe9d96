// The search that proves most codes out: HessianBound of each lane's own codes against the error of the best one so far; only what is left is
// evaluated by the definition. docs/hessian_sweep.md has the proof. Included once per target.
#if defined(NVFP4CAL_CPU_HESSIAN_PRUNE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_HESSIAN_PRUNE_INL_H
#undef NVFP4CAL_CPU_HESSIAN_PRUNE_INL_H
#else
#define NVFP4CAL_CPU_HESSIAN_PRUNE_INL_H
#endif

#include "cpu/hessian_group-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD && HWY_NATIVE_FMA

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

// The definition's residual without its division: one correction of x * (1 / s) rounds to the same level (HessianPlan::exact_quotients).
HWY_INLINE VF quick_residual(VF x, VF sign, const LaneScale& s) {
  const VF near = hn::Mul(x, s.reciprocal);
  const VF y = hn::MulAdd(hn::NegMulAdd(near, s.scale, x), s.reciprocal, near);
  return hn::Xor(hn::NegMulAdd(round_e2m1(y), s.scale, x), sign);
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

// The search of one group.
template <int block>
class PrunedSearch {
 public:
  HWY_INLINE PrunedSearch(const HessianPlan& plan, const HessianMatrix& hessian, const HessianGroup<block>& g)
      : plan_(plan), hessian_(hessian), bound_(hessian.bound), g_(g) {}

  HWY_INLINE VI run() {
    const DF df;
    const DI di;
    const VF m = g_.m;
    const MF idle = hn::Or(hn::Eq(m, hn::Zero(df)), hn::Ge(m, hn::Set(df, plan_.sweep.saturation)));
    energy_ = hn::Zero(df);
    for (int i = 0; i < block; ++i) energy_ = hn::MulAdd(g_.x[i], g_.x[i], energy_);
    // the largest code with v <= 2 m / 7: above it, halving v cannot help the diagonal part
    const VF u = hn::Div(hn::Mul(m, hn::Set(df, plan_.sweep.rule.u_factor)), hn::Set(df, plan_.sweep.amax));
    top_ = floor_code(hn::Mul(u, hn::Set(df, 1.0f + 0x1p-20f)));
    // from 4 m on all elements are zero: only the first such code counts
    const VI zeros = floor_code(hn::Mul(u, hn::Set(df, 14.0f * (1.0f + 0x1p-20f))));
    const VI below =
        hn::IfThenElseZero(hn::RebindMask(di, hn::Lt(lane_scale(plan_, zeros).scale, hn::Mul(m, hn::Set(df, 4.0f)))), hn::Set(di, 1));
    end_ =
        hn::IfThenZeroElse(hn::RebindMask(di, idle), hn::Add(hn::Min(hn::Add(zeros, below), hn::Set(di, num::kE4m3Count)), hn::Set(di, 1)));
    first_guess();
    for (int k = 0; k < steps_; ++k)
      add_survivors(hn::AndNot(hn::Gt(ladder_[k], limit_), in_range(code_at(kAbove - k))), code_at(kAbove - k));
    climb();
    descend();
    if (count_ > evaluated_) evaluate_pairs();
    settle_near_ties();
    return hn::Load(di, best_code_);
  }

 private:
  // Codes that are bounded before there is a best one: from top + kAbove downwards, so many that the clipping bound mostly closes what is below.
  static constexpr int kAbove = 3, kLadder = 14, kDiagonalLadder = 12;
  static constexpr int kGuessRows = 4;

  HWY_INLINE VI code_at(int offset) const { return hn::Add(top_, hn::Set(DI(), offset)); }

  static HWY_INLINE VI clamped(VI code) { return hn::Min(hn::Max(code, hn::Set(DI(), 1)), hn::Set(DI(), num::kE4m3Count)); }

  // Lanes for which this is a code that can win.
  HWY_INLINE MF in_range(VI code) const {
    const DI di;
    return hn::RebindMask(DF(), hn::And(hn::Gt(code, hn::Zero(di)), hn::Lt(code, end_)));
  }

  // A code is out if its bound exceeds this: (the most that the best error can be + slack * energy) with a share of 2^-10 for the bound's own rounding.
  HWY_INLINE void set_limit() {
    const DF df;
    const VF best = hn::Load(df, best_upper_);
    limit_ = hn::Mul(hn::MulAdd(hn::Set(df, bound_.slack), energy_, best), hn::Set(df, 1.0f + 0x1p-10f));
  }

  struct Parts {
    VF diagonal, all;
  };

  // The bound of a code of each lane, no more rows than it takes to put all of `lanes` above the limit.
  HWY_NOINLINE Parts bound_of(VI code, MF lanes, int rows) const {
    const DF df;
    const LaneScale s = lane_scale(plan_, clamped(code));
    Parts parts;
    if (bound_.rows == 0) {
      parts.diagonal = parts.all = filter_diagonal<block>(bound_, g_, s);
      return parts;
    }
    VF r[block];
    residuals_of(g_, s, r);
    parts.diagonal = parts.all = diagonal_part<block>(bound_, r);
    for (int k = 0; k < rows; k += 2) {
      if (hn::AllTrue(df, hn::Or(hn::Not(lanes), hn::Gt(parts.all, limit_)))) break;
      parts.all = hn::Add(parts.all, row_pair_part<block>(bound_, k, r));
    }
    return parts;
  }

  // Bounds the ladder, evaluates each lane's most promising code.
  HWY_INLINE void first_guess() {
    const DF df;
    const DI di;
    const VF infinity = hn::Set(df, num::from_bits(num::kInfBits));
    const int rows = bound_.rows < kGuessRows ? bound_.rows : kGuessRows;
    VF least = infinity;
    guess_ = clamped(top_);
    limit_ = infinity;
    for (int k = 0; k < steps_; ++k) {
      const VI code = code_at(kAbove - k);
      const MF lanes = in_range(code);
      ladder_[k] = infinity;
      if (hn::AllFalse(df, lanes)) continue;
      const Parts parts = bound_of(code, lanes, rows);
      if (k < kAbove) ladder_diagonal_[k] = parts.diagonal;
      ladder_[k] = hn::IfThenElse(lanes, parts.all, infinity);
      guess_ = hn::IfThenElse(hn::RebindMask(di, hn::Lt(ladder_[k], least)), code, guess_);
      least = hn::Min(least, ladder_[k]);
    }
    const Range error = error_of(g_, guess_);
    guess_lower_ = error.lower;
    hn::Store(error.upper, df, best_upper_);
    hn::Store(guess_, di, best_code_);
    set_limit();
  }

  static HWY_INLINE void residuals_of(const HessianGroup<block>& g, const LaneScale& s, VF* HWY_RESTRICT r) {
    for (int i = 0; i < block; ++i) r[i] = quick_residual(g.x[i], g.sign[i], s);
  }

  // Where the definition's error lies.
  struct Range {
    VF lower, upper;
  };
  HWY_NOINLINE Range error_of(const HessianGroup<block>& g, VI code) const {
    const DF df;
    VF r[block], even = hn::Zero(df), odd = even;
    residuals_of(g, lane_scale(plan_, code), r);
    for (int i = 0; i < block; i += 2) {
      even = hn::MulAdd(r[i], r[i], even);
      odd = hn::MulAdd(r[i + 1], r[i + 1], odd);
    }
    const VF error = quick_form<block>(hessian_, r), noise = hn::Mul(hn::Set(df, bound_.noise), hn::Add(even, odd));
    return {hn::Sub(error, noise), hn::Add(error, noise)};
  }

  // Codes above the ladder. Doubling v above 2 m / 7 does not lower the diagonal part, and doubles the code's class mod 8 stays in: once the diagonal part of
  // a code is above the limit on all lanes, its class is done. Codes below 8 double otherwise.
  HWY_INLINE void climb() {
    const DF df;
    unsigned live = 0xFF;
    for (int k = 0; k < kAbove; ++k) {
      const MF lanes = in_range(code_at(kAbove - k));
      if (hn::AllFalse(df, lanes) || closes_class(code_at(kAbove - k), lanes, ladder_diagonal_[k])) live &= ~(1u << (kAbove - k));
    }
    for (int offset = kAbove + 1; live != 0 && offset < num::kE4m3Count; ++offset) {
      if (!(live >> offset % 8 & 1)) continue;
      const VI code = code_at(offset);
      const MF lanes = in_range(code);
      if (hn::AllFalse(df, lanes)) break;
      const Parts parts = bound_of(code, lanes, bound_.rows);
      if (closes_class(code, lanes, parts.diagonal)) live &= ~(1u << offset % 8);
      add_survivors(hn::AndNot(hn::Gt(parts.all, limit_), lanes), code);
    }
  }

  HWY_INLINE bool closes_class(VI code, MF lanes, VF diagonal) const {
    const DF df;
    const MF linear = hn::RebindMask(df, hn::Lt(code, hn::Set(DI(), 8)));
    return hn::AllTrue(df, hn::Or(hn::Not(lanes), hn::AndNot(linear, hn::Gt(diagonal, limit_))));
  }

  // Codes below the ladder, until a bound that holds for all lower ones puts every lane above the limit.
  HWY_INLINE void descend() {
    const DF df;
    MF open = in_range(hn::Set(DI(), 1));
    VF projections[kMaxBoundRows];
    bool have_projections = false;
    for (int offset = kAbove - steps_;; --offset) {
      const VI code = code_at(offset);
      open = hn::And(open, hn::RebindMask(df, hn::Gt(code, hn::Zero(DI()))));
      if ((kAbove - steps_ - offset) % 4 == 0) {
        const VF scale = lane_scale(plan_, clamped(code)).scale;
        VF below = clipping_bound(scale);
        if (bound_.rows > 0 && !hn::AllTrue(df, hn::Or(hn::Not(open), hn::Gt(below, limit_)))) {
          if (!have_projections) set_projections(projections);
          have_projections = true;
          below = hn::Add(below, interval_bound(scale, projections));
        }
        open = hn::AndNot(hn::Gt(below, limit_), open);
      }
      if (hn::AllFalse(df, open)) return;
      const MF lanes = hn::And(open, in_range(code));
      if (hn::AllFalse(df, lanes)) continue;
      const Parts parts = bound_of(code, lanes, bound_.rows);
      add_survivors(hn::AndNot(hn::Gt(parts.all, limit_), lanes), code);
    }
  }

  // |r| >= x - 6 s at this and every smaller scale.
  HWY_INLINE VF clipping_bound(VF scale) const {
    const DF df;
    const VF most = hn::Mul(scale, hn::Set(df, 6.0f * (1.0f + 0x1p-20f)));
    VF sum = hn::Zero(df);
    for (int i = 0; i < block; ++i) {
      const VF over = hn::Max(hn::Sub(g_.x[i], most), hn::Zero(df));
      sum = hn::MulAdd(hn::Mul(hn::Set(df, bound_.d[i]), over), over, sum);
    }
    return sum;
  }

  HWY_INLINE void set_projections(VF* HWY_RESTRICT projections) const {
    const DF df;
    for (int k = 0; k < bound_.rows; ++k) {
      VF sum = hn::Zero(df);
      for (int i = 0; i < block; ++i) sum = hn::MulAdd(hn::Set(df, bound_.w[k][i]), hn::Xor(g_.x[i], g_.sign[i]), sum);
      projections[k] = sum;
    }
  }

  // r = x - z, z of x's sign and at most min(6 s, 2 |x|): w . r lies within half the sum of |w| z of w . (x - z / 2), for all smaller scales too.
  HWY_INLINE VF interval_bound(VF scale, const VF* HWY_RESTRICT projections) const {
    const DF df;
    const VF most = hn::Mul(scale, hn::Set(df, 6.0f * (1.0f + 0x1p-20f)));
    VF z[block], half_z[block];
    for (int i = 0; i < block; ++i) {
      half_z[i] = hn::Mul(hn::Min(most, hn::Add(g_.x[i], g_.x[i])), hn::Set(df, 0.5f));
      z[i] = hn::Xor(half_z[i], g_.sign[i]);
    }
    VF sum = hn::Zero(df);
    for (int k = 0; k < bound_.rows; ++k) {
      VF middle = projections[k], reach = hn::Zero(df);
      for (int i = 0; i < block; ++i) {
        const VF w = hn::Set(df, bound_.w[k][i]);
        middle = hn::NegMulAdd(w, z[i], middle);
        reach = hn::MulAdd(hn::Abs(w), half_z[i], reach);
      }
      const VF distance = hn::Max(hn::Sub(hn::Abs(middle), reach), hn::Zero(df));
      sum = hn::MulAdd(distance, distance, sum);
    }
    return sum;
  }

  HWY_INLINE void add_survivors(MF lanes, VI code) {
    const DF df;
    const DI di;
    lanes = hn::AndNot(hn::RebindMask(df, hn::Eq(code, guess_)), lanes);
    if (hn::AllFalse(df, lanes)) return;
    const VI pair = hn::Or(hn::ShiftLeft<8>(hn::Iota(di, 0)), code);
    // compressed in a register: Zen 4 takes a hundred cycles and more to compress to memory
    hn::StoreU(hn::Compress(pair, hn::RebindMask(di, lanes)), di, pairs_ + count_);
    count_ += static_cast<int>(hn::CountTrue(df, lanes));
    while (count_ - evaluated_ >= kLanes) evaluate_pairs();
  }

  // The blocks and codes of kLanes pairs.
  HWY_INLINE VI gather(const int32_t* HWY_RESTRICT pairs, HessianGroup<block>& gathered) const {
    const DI di;
    const VI pair = hn::LoadU(di, pairs);
    const auto lane = hn::IndicesFromVec(DF(), hn::ShiftRight<8>(pair));
    for (int i = 0; i < block; ++i) {
      gathered.x[i] = hn::TableLookupLanes(g_.x[i], lane);
      gathered.sign[i] = hn::TableLookupLanes(g_.sign[i], lane);
    }
    return hn::And(pair, hn::Set(di, 255));
  }

  // The next kLanes pairs, or what is left of them; keeps what is better.
  HWY_NOINLINE void evaluate_pairs() {
    const DF df;
    const int here = count_ - evaluated_ < kLanes ? count_ - evaluated_ : kLanes;
    int32_t* const pairs = pairs_ + evaluated_;
    for (int i = here; i < kLanes; ++i) pairs[i] = pairs[0];
    HessianGroup<block> gathered;
    const VI codes = gather(pairs, gathered);
    const Range error = error_of(gathered, codes);
    HWY_ALIGN float upper[kLanes];
    hn::Store(error.upper, df, upper);
    hn::StoreU(error.lower, df, lower_ + evaluated_);
    for (int i = 0; i < here; ++i) {
      const int32_t at = pairs[i] >> 8;
      if (!(upper[i] < best_upper_[at])) continue;
      best_upper_[at] = upper[i];
      best_code_[at] = pairs[i] & 255;
    }
    evaluated_ += here;
    set_limit();
  }

  // Where another code's error may be as small as the best one's, the definition decides.
  HWY_INLINE void settle_near_ties() {
    const DF df;
    const DI di;
    const VF upper = hn::Load(df, best_upper_);
    const VI best = hn::Load(di, best_code_);
    MF near = hn::And(hn::Le(guess_lower_, upper), hn::RebindMask(df, hn::Ne(guess_, best)));
    for (int i = 0; i < count_; i += kLanes) {
      const VI pair = hn::LoadU(di, pairs_ + i);
      const auto lane = hn::IndicesFromVec(df, hn::ShiftRight<8>(pair));
      const VI code = hn::And(pair, hn::Set(di, 255));
      const auto other = hn::Ne(code, hn::BitCast(di, hn::TableLookupLanes(hn::BitCast(df, best), lane)));
      near = hn::Or(near, hn::And(hn::Le(hn::LoadU(df, lower_ + i), hn::TableLookupLanes(upper, lane)), hn::RebindMask(df, other)));
    }
    if (HWY_UNLIKELY(!hn::AllFalse(df, near))) decide();
  }

  // The definition, for the codes of all lanes that come near the best.
  HWY_NOINLINE void decide() {
    const DF df;
    const DI di;
    HWY_ALIGN float guess_lower[kLanes], errors[kLanes], least[kLanes];
    HWY_ALIGN int32_t guesses[kLanes];
    hn::Store(guess_lower_, df, guess_lower);
    hn::Store(guess_, di, guesses);
    int kept = 0;
    for (int i = 0; i < count_; ++i) {
      if (lower_[i] <= best_upper_[pairs_[i] >> 8]) pairs_[kept++] = pairs_[i];
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      if (guess_lower[lane] <= best_upper_[lane]) pairs_[kept++] = lane << 8 | guesses[lane];
      least[lane] = num::from_bits(num::kInfBits);
    }
    for (int first = 0; first < kept; first += kLanes) {
      for (int i = kept; i < first + kLanes; ++i) pairs_[i] = pairs_[first];
      HessianGroup<block> gathered;
      VF r[block];
      residuals_of(gathered, lane_scale(plan_, gather(pairs_ + first, gathered)), r);
      hn::Store(quadratic_form<block>(hessian_, r), df, errors);
      for (int i = 0; i < kLanes; ++i) {
        const int32_t at = pairs_[first + i] >> 8, code = pairs_[first + i] & 255;
        if (errors[i] < least[at] || (errors[i] == least[at] && code < best_code_[at])) {
          least[at] = errors[i];
          best_code_[at] = code;
        }
      }
    }
  }

  const HessianPlan& plan_;
  const HessianMatrix& hessian_;
  const HessianBound& bound_;
  const HessianGroup<block>& g_;
  VF energy_, limit_;
  VI end_;  // past the last code that can win; 0 for blocks that are zero or far above G, which are not searched
  VI top_, guess_;
  VF ladder_[kLadder], ladder_diagonal_[kAbove], guess_lower_;
  HWY_ALIGN float best_upper_[kLanes];
  HWY_ALIGN int32_t best_code_[kLanes];
  int steps_ = bound_.rows > 0 ? kLadder : kDiagonalLadder;
  // What is left, pairs of lane and code, and the least that their errors can be.
  int count_ = 0, evaluated_ = 0;
  int32_t pairs_[(num::kE4m3Count + 2) * kLanes];
  float lower_[(num::kE4m3Count + 2) * kLanes];
};

#endif  // NVFP4CAL_REAL_SIMD && HWY_NATIVE_FMA
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
