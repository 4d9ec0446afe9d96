// The search that proves most codes out: HessianBound of each lane's own codes against the error of the best one so far; only what is left is
// evaluated by the definition. docs/hessian_sweep.md has the proof. Included once per target.
#if defined(NVFP4CAL_CPU_HESSIAN_PRUNE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_HESSIAN_PRUNE_INL_H
#undef NVFP4CAL_CPU_HESSIAN_PRUNE_INL_H
#else
#define NVFP4CAL_CPU_HESSIAN_PRUNE_INL_H
#endif

#include "cpu/hessian_integers.h"
#include "cpu/hessian_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD && HWY_NATIVE_FMA

// The search of one group.
template <int block>
class PrunedSearch {
 public:
  // integers: NULL, or for blocks of 16 what bounds are made with.
  HWY_INLINE PrunedSearch(const HessianIntegerKernels* integers, const HessianPlan& plan, const HessianMatrix& hessian,
                          const HessianGroup<block>& g)
      : integers_(integers), plan_(plan), hessian_(hessian), bound_(hessian.bound), g_(g) {}

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
    if (has_integers()) {
      load_integers();
      first_guess_of_integers();
    } else {
      first_guess();
    }
    for (int k = 0; k < steps_; ++k)
      add_survivors(hn::AndNot(hn::Gt(of_rung(ladder_, rungs_.all, k), limit_of_rung(k)), in_range(code_at(above_ - k))),
                    code_at(above_ - k));
    evaluate_full();
    climb();
    descend();
    if (count_ > evaluated_) evaluate_pairs();
    return has_near_ties() ? decide() : best_;
  }

 private:
  // Codes that are bounded before there is a best one: kAbove codes above top, so many from top on downwards that the clipping bound mostly closes what is
  // below. In integers a whole octave above it, which mostly closes what is above.
  static constexpr int kAbove = 3, kIntegerAbove = 8, kFromTop = 11, kDiagonalFromTop = 9;
  static_assert(kIntegerAbove + kFromTop <= HessianRungs::kMost);
  static constexpr int kGuessRows = 4;
  static constexpr int kStride = 4;  // codes between two looks at whether all lower ones are out

  HWY_INLINE VI code_at(int offset) const { return hn::Add(top_, hn::Set(DI(), offset)); }

  static HWY_INLINE VI clamped(VI code) { return hn::Min(hn::Max(code, hn::Set(DI(), 1)), hn::Set(DI(), num::kE4m3Count)); }

  // Lanes for which this is a code that can win.
  HWY_INLINE MF in_range(VI code) const {
    const DI di;
    return hn::RebindMask(DF(), hn::And(hn::Gt(code, hn::Zero(di)), hn::Lt(code, end_)));
  }

  // A code is out if its bound exceeds this: (the most that the best error can be + slack * energy) / (1 - kBoundShare), with a share of 2^-10 for
  // the bound's own rounding.
  HWY_INLINE void set_limit() {
    const DF df;
    limit_ = hn::Mul(hn::MulAdd(hn::Set(df, bound_.slack), energy_, best_upper_), hn::Set(df, (1.0f + 0x1p-10f) / (1.0f - kBoundShare)));
    const VF positive = hn::Max(limit_, hn::Set(df, 1e-30f));
    if (has_integers()) limit_root_ = hn::Mul(hn::Mul(positive, hn::Set(df, 1.0f + 0x1p-13f)), hn::ApproximateReciprocalSqrt(positive));
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

  HWY_INLINE bool has_integers() const { return block == 16 && HWY_MAX_BYTES == 64 && integers_ != nullptr; }

  HWY_INLINE void load_integers() {
    integers_->load(bound_, reinterpret_cast<const float*>(g_.x), reinterpret_cast<const uint32_t*>(g_.sign),
                    reinterpret_cast<const float*>(&g_.m), group_);
  }

  HWY_INLINE void bound_integers(VI code, int count, bool with_rows) {
    integers_->bound(plan_, bound_, group_, reinterpret_cast<const int32_t*>(&code), count, with_rows, rungs_);
  }

  // What an integer bound has to exceed.
  HWY_INLINE VF limit_of_rung(int k) const {
    if (!has_integers()) return limit_;
    const DF df;
    const VF root = hn::MulAdd(hn::Load(df, group_.tolerance), hn::Load(df, rungs_.scale[k]), limit_root_);
    return hn::Mul(root, root);
  }

  // in_floats has fewer rungs than integers have.
  HWY_INLINE VF of_rung(const VF* in_floats, const float (*in_integers)[HessianIntegers::kBlocks], int k) const {
    return has_integers() ? hn::Load(DF(), in_integers[k]) : in_floats[k];
  }

  // first_guess in one go.
  HWY_INLINE void first_guess_of_integers() {
    const DF df;
    const DI di;
    const VF infinity = hn::Set(df, num::from_bits(num::kInfBits));
    VF least = infinity;
    guess_ = clamped(top_);
    bound_integers(code_at(above_), steps_, bound_.rows > 0);
    for (int k = 0; k < steps_; ++k) {
      const VI code = code_at(above_ - k);
      const MF lanes = hn::And(in_range(code), hn::Gt(hn::Load(df, rungs_.scale[k]), hn::Zero(df)));
      const VF found = hn::IfThenElse(lanes, hn::Load(df, rungs_.all[k]), infinity);
      guess_ = hn::IfThenElse(hn::RebindMask(di, hn::Lt(found, least)), code, guess_);
      least = hn::Min(least, found);
    }
    evaluate_guess();
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
      const VI code = code_at(above_ - k);
      const MF lanes = in_range(code);
      ladder_[k] = infinity;
      if (hn::AllFalse(df, lanes)) continue;
      const Parts parts = bound_of(code, lanes, rows);
      if (k < kAbove) ladder_diagonal_[k] = parts.diagonal;
      ladder_[k] = hn::IfThenElse(lanes, parts.all, infinity);
      guess_ = hn::IfThenElse(hn::RebindMask(di, hn::Lt(ladder_[k], least)), code, guess_);
      least = hn::Min(least, ladder_[k]);
    }
    evaluate_guess();
  }

  HWY_INLINE void evaluate_guess() {
    const Range error = errors_of(pairs_of(guess_));
    guess_lower_ = error.lower;
    best_upper_ = error.upper;
    best_ = guess_;
    set_limit();
  }

  static HWY_INLINE void residuals_of(const HessianGroup<block>& g, const LaneScale& s, VF* HWY_RESTRICT r) {
    for (int i = 0; i < block; ++i) r[i] = quick_residual(g.x[i], g.sign[i], s);
  }

  // Where the definition's errors lie.
  struct Range {
    VF lower, upper;
  };

  // Of pairs of lane and code.
  HWY_NOINLINE Range errors_of(VI pairs) const {
    const DF df;
    const auto lane = hn::IndicesFromVec(df, hn::ShiftRight<8>(pairs));
    const LaneScale s = lane_scale(plan_, hn::And(pairs, hn::Set(DI(), 255)));
    VF r[block], even = hn::Zero(df), odd = even;
    for (int i = 0; i < block; ++i) r[i] = quick_residual(hn::TableLookupLanes(g_.x[i], lane), hn::TableLookupLanes(g_.sign[i], lane), s);
    for (int i = 0; i < block; i += 2) {
      even = hn::MulAdd(r[i], r[i], even);
      odd = hn::MulAdd(r[i + 1], r[i + 1], odd);
    }
    const VF error = quick_form<block>(hessian_, r), noise = hn::Mul(hn::Set(df, bound_.noise), hn::Add(even, odd));
    return {hn::Sub(error, noise), hn::Add(error, noise)};
  }

  static HWY_INLINE VI pairs_of(VI codes) { return hn::Or(hn::ShiftLeft<8>(hn::Iota(DI(), 0)), codes); }

  // Codes above the ladder. Doubling v above 2 m / 7 does not lower the diagonal part, and doubles the code's class mod 8 stays in: once the diagonal part of
  // a code is above the limit on all lanes, its class is done. Codes below 8 double otherwise.
  HWY_INLINE void climb() {
    const DF df;
    unsigned live = 0xFF;
    for (int k = 0; k < above_; ++k) {
      const VI code = code_at(above_ - k);
      const MF lanes = in_range(code);
      if (hn::AllFalse(df, lanes) || closes_class(code, lanes, of_rung(ladder_diagonal_, rungs_.diagonal, k), limit_of_rung(k)))
        live &= ~(1u << (above_ - k) % 8);
    }
    for (int offset = above_ + 1; live != 0 && offset < num::kE4m3Count; ++offset) {
      if (!(live >> offset % 8 & 1)) continue;
      const VI code = code_at(offset);
      const MF lanes = in_range(code);
      if (hn::AllFalse(df, lanes)) break;
      if (has_integers() && !bound_.nearly_singular) {  // the diagonal part is mostly enough, up here
        bound_integers(code, 1, false);
        if (closes_class(code, lanes, hn::Load(df, rungs_.diagonal[0]), limit_of_rung(0))) {
          live &= ~(1u << offset % 8);
          continue;
        }
      }
      const Parts parts = bound_of(code, lanes, bound_.rows);
      if (closes_class(code, lanes, parts.diagonal, limit_)) live &= ~(1u << offset % 8);
      add_survivors(hn::AndNot(hn::Gt(parts.all, limit_), lanes), code);
      evaluate_full();
    }
  }

  HWY_INLINE bool closes_class(VI code, MF lanes, VF diagonal, VF limit) const {
    const DF df;
    const MF linear = hn::RebindMask(df, hn::Lt(code, hn::Set(DI(), 8)));
    return hn::AllTrue(df, hn::Or(hn::Not(lanes), hn::AndNot(linear, hn::Gt(diagonal, limit))));
  }

  // Codes below the ladder, until a bound that holds for all lower ones puts every lane above the limit.
  HWY_INLINE void descend() {
    const DF df;
    MF open = in_range(hn::Set(DI(), 1));
    VF projections[kMaxBoundRows];
    bool have_projections = false;
    const bool in_integers = has_integers() && !bound_.nearly_singular;
    for (int offset = above_ - steps_, k = 0;; --offset, k = (k + 1) % kStride) {
      const VI code = code_at(offset);
      open = hn::And(open, hn::RebindMask(df, hn::Gt(code, hn::Zero(DI()))));
      if (k == 0) {
        const VF scale = lane_scale(plan_, clamped(code)).scale;
        VF below = clipping_bound<block>(bound_, g_, scale);
        if (bound_.rows > 0 && !hn::AllTrue(df, hn::Or(hn::Not(open), hn::Gt(below, limit_)))) {
          if (!have_projections) set_projections<block>(bound_, g_, projections);
          have_projections = true;
          below = hn::Add(below, interval_bound<block>(bound_, g_, scale, projections));
        }
        open = hn::AndNot(hn::Gt(below, limit_), open);
      }
      if (hn::AllFalse(df, open)) return;
      const MF lanes = hn::And(open, in_range(code));
      if (k == 0 && in_integers) bound_integers(code, kStride, bound_.rows > 0);
      if (hn::AllFalse(df, lanes)) continue;
      const VF all = in_integers ? hn::Load(df, rungs_.all[k]) : bound_of(code, lanes, bound_.rows).all;
      add_survivors(hn::AndNot(hn::Gt(all, in_integers ? limit_of_rung(k) : limit_), lanes), code);
      evaluate_full();
    }
  }

  HWY_INLINE void add_survivors(MF lanes, VI code) {
    const DF df;
    const DI di;
    lanes = hn::AndNot(hn::RebindMask(df, hn::Eq(code, guess_)), lanes);
    if (kLanes < 16 && hn::AllFalse(df, lanes)) return;
    // compressed in a register: Zen 4 takes a hundred cycles and more to compress to memory
    hn::StoreU(hn::Compress(pairs_of(code), hn::RebindMask(di, lanes)), di, pairs_ + count_);
    count_ += static_cast<int>(hn::CountTrue(df, lanes));
  }

  HWY_INLINE void evaluate_full() {
    while (count_ - evaluated_ >= kLanes) evaluate_pairs();
  }

  // The blocks and codes of kLanes pairs.
  HWY_INLINE VI gather(const int32_t* HWY_RESTRICT pairs, HessianGroup<block>& gathered) const {
    const DI di;
    const VI pair = hn::LoadU(di, pairs);
    const auto lane = hn::IndicesFromVec(DF(), hn::ShiftRight<8>(pair));
    NVFP4CAL_ROLLED
    for (int i = 0; i < block; ++i) {
      gathered.x[i] = hn::TableLookupLanes(g_.x[i], lane);
      gathered.sign[i] = hn::TableLookupLanes(g_.sign[i], lane);
    }
    return hn::And(pair, hn::Set(di, 255));
  }

  static HWY_INLINE MF lane_of(int32_t pair) {
    const DI di;
    return hn::RebindMask(DF(), hn::Eq(hn::Iota(di, 0), hn::Set(di, pair >> 8)));
  }

  // The next kLanes pairs, or what is left of them; keeps what is better.
  HWY_NOINLINE void evaluate_pairs() {
    const DF df;
    const int here = count_ - evaluated_ < kLanes ? count_ - evaluated_ : kLanes;
    int32_t* const pairs = pairs_ + evaluated_;
    NVFP4CAL_ROLLED
    for (int i = here; i < kLanes; ++i) pairs[i] = pairs[0];
    const VI next = hn::LoadU(DI(), pairs);
    const Range error = errors_of(next);
    hn::StoreU(error.lower, df, lower_ + evaluated_);
    // in registers: vectors that are read where single numbers were just written wait for these
    HWY_ALIGN float upper[kLanes];
    hn::Store(error.upper, df, upper);
    const VF before = best_upper_;
    for (int i = 0; i < here; ++i) {
      best_upper_ = hn::IfThenElse(lane_of(pairs[i]), hn::Min(best_upper_, hn::Set(df, upper[i])), best_upper_);
    }
    if (!hn::AllTrue(df, hn::Eq(before, best_upper_))) {
      const MF better = hn::Lt(best_upper_, before);
      for (int i = 0; i < here; ++i) {
        const MF here_best = hn::And(hn::And(better, lane_of(pairs[i])), hn::Eq(best_upper_, hn::Set(df, upper[i])));
        best_ = hn::IfThenElse(hn::RebindMask(DI(), here_best), hn::And(hn::Set(DI(), pairs[i]), hn::Set(DI(), 255)), best_);
      }
    }
    evaluated_ += here;
    set_limit();
  }

  // Whether another code's error may be as small as the best one's: the definition decides.
  HWY_INLINE bool has_near_ties() const {
    const DF df;
    const DI di;
    MF near = hn::And(hn::Le(guess_lower_, best_upper_), hn::RebindMask(df, hn::Ne(guess_, best_)));
    for (int i = 0; i < count_; i += kLanes) {
      const VI pair = hn::LoadU(di, pairs_ + i);
      const auto lane = hn::IndicesFromVec(df, hn::ShiftRight<8>(pair));
      const VI code = hn::And(pair, hn::Set(di, 255));
      const auto other = hn::Ne(code, hn::BitCast(di, hn::TableLookupLanes(hn::BitCast(df, best_), lane)));
      near = hn::Or(near, hn::And(hn::Le(hn::LoadU(df, lower_ + i), hn::TableLookupLanes(best_upper_, lane)), hn::RebindMask(df, other)));
    }
    return !hn::AllFalse(df, near);
  }

  // The definition, for the codes of all lanes that come near the best.
  HWY_NOINLINE VI decide() {
    const DF df;
    const DI di;
    HWY_ALIGN float guess_lower[kLanes], best_upper[kLanes], errors[kLanes], least[kLanes];
    HWY_ALIGN int32_t guesses[kLanes], chosen[kLanes];
    hn::Store(guess_lower_, df, guess_lower);
    hn::Store(guess_, di, guesses);
    hn::Store(best_upper_, df, best_upper);
    int kept = 0;
    NVFP4CAL_ROLLED
    for (int i = 0; i < count_; ++i) {
      if (lower_[i] <= best_upper[pairs_[i] >> 8]) pairs_[kept++] = pairs_[i];
    }
    NVFP4CAL_ROLLED
    for (int lane = 0; lane < kLanes; ++lane) {
      if (guess_lower[lane] <= best_upper[lane]) pairs_[kept++] = lane << 8 | guesses[lane];
      least[lane] = num::from_bits(num::kInfBits);
      chosen[lane] = num::kE4m3Count;
    }
    for (int first = 0; first < kept; first += kLanes) {
      NVFP4CAL_ROLLED
      for (int i = kept; i < first + kLanes; ++i) pairs_[i] = pairs_[first];
      HessianGroup<block> gathered;
      const VI codes = gather(pairs_ + first, gathered);
      hn::Store(definition_error<block>(hessian_, gathered, lane_scale(plan_, codes).scale), df, errors);
      NVFP4CAL_ROLLED
      for (int i = 0; i < kLanes; ++i) {
        const int32_t at = pairs_[first + i] >> 8, code = pairs_[first + i] & 255;
        if (errors[i] < least[at] || (errors[i] == least[at] && code < chosen[at])) {
          least[at] = errors[i];
          chosen[at] = code;
        }
      }
    }
    return hn::Load(di, chosen);
  }

  const HessianIntegerKernels* const integers_;
  const HessianPlan& plan_;
  const HessianMatrix& hessian_;
  const HessianBound& bound_;
  const HessianGroup<block>& g_;
  VF energy_, limit_, limit_root_;  // limit_root_: no less than the root of limit_
  VI end_;                          // past the last code that can win; 0 for blocks that are zero or far above G, which are not searched
  VI top_, guess_, best_;
  VF best_upper_;  // the most that the error of best_ can be
  VF ladder_[kAbove + kFromTop], ladder_diagonal_[kAbove], guess_lower_;
  int above_ = has_integers() ? kIntegerAbove : kAbove, steps_ = above_ + (bound_.rows > 0 ? kFromTop : kDiagonalFromTop);
  // What is left, pairs of lane and code, and the least that their errors can be.
  int count_ = 0, evaluated_ = 0;
  int32_t pairs_[(num::kE4m3Count + 2) * kLanes];
  float lower_[(num::kE4m3Count + 2) * kLanes];
  HessianIntegers group_;
  HessianRungs rungs_;
};

#endif  // NVFP4CAL_REAL_SIMD && HWY_NATIVE_FMA
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
