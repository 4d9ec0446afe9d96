// Single-level quantization where errors are weighed by Hessians, one block a lane, all lanes of one matrix: the filter of the scale search in float32,
// ADMM in float64. docs/numerics.md 8. Targets without fused operations use the definition.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/block_hessian_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>

#include "cpu/block_search.h"
#include "cpu/settle_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD
#if HWY_NATIVE_FMA

// ---- the scale of the least r^T h r ------------------------------------------------------------------------------------

// num::e2m1_level_ties_down of x / scale, x >= 0: rounded quotients and products lie on the same side of a boundary (docs/numerics.md 8).
struct LevelDown {
#if HWY_MAX_BYTES == 64
  VF scale, reciprocal;

  HWY_INLINE explicit LevelDown(VF s) : scale(s), reciprocal(hn::Div(hn::Set(DF(), 1.0f), s)) {}
  HWY_INLINE VF operator()(VF x) const {
    const __m512 y = refined_quotient(x, scale, reciprocal).raw;
    // the least integer from 4 y on, in the low bits: a table has the levels of 32
    const __m512 steps = _mm512_fmadd_round_ps(y, _mm512_set1_ps(4.0f), _mm512_set1_ps(0x1p23f), _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m512i index = _mm512_min_epu32(_mm512_castps_si512(steps), _mm512_castps_si512(_mm512_set1_ps(0x1p23f + 31.0f)));
    return VF{_mm512_permutex2var_ps(_mm512_setr_ps(0, 0, .5f, .5f, 1, 1, 1.5f, 1.5f, 2, 2, 2, 3, 3, 3, 3, 4), index,
                                     _mm512_setr_ps(4, 4, 4, 4, 4, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6))};
  }
#else
  VF scale;

  HWY_INLINE explicit LevelDown(VF s) : scale(s) {}
  HWY_INLINE VF operator()(VF x) const {
    const DF df;
#if HWY_MAX_BYTES == 32
    VI code = hn::Zero(DI());
    for (const float boundary : {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f}) {
      code = hn::Sub(code, hn::BitCast(DI(), hn::VecFromMask(df, hn::Gt(x, hn::Mul(scale, hn::Set(df, boundary))))));
    }
    HWY_ALIGN static constexpr float kLevels[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return lookup8(kLevels, code);
#else
    VF level = hn::Zero(df);
    for (const float boundary : {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f}) {
      const float step = boundary < 2.0f ? 0.5f : boundary < 4.0f ? 1.0f : 2.0f;
      level = hn::Add(level, hn::IfThenElseZero(hn::Gt(x, hn::Mul(scale, hn::Set(df, boundary))), hn::Set(df, step)));
    }
    return level;
#endif
  }
#endif
};

// The search of kLanes blocks of n elements. A code's error is known up to a tolerance: the bounds of a code's error are that far below and above.
class HessianLanes {
 public:
  HWY_INLINE HessianLanes(const BlockMatrix& matrix, const float* rows, int n)
      : matrix_(matrix), factor_(matrix.factor), rows_(rows), n_(n) {
    const DF df;
    VF x[kMaxBlock];
    for (int i = 0; i < n; i += 16) load_transposed<16>(rows + i, n, x + i);
    m_ = energy_ = hn::Zero(df);
    for (int i = 0; i < n; ++i) {
      const VF value = x[factor_.order[i]];
      sign_[i] = hn::And(value, hn::Set(df, -0.0f));
      x_[i] = hn::Abs(value);
      m_ = hn::Max(m_, x_[i]);
      energy_ = hn::MulAdd(x_[i], x_[i], energy_);
    }
  }

  HWY_INLINE void search(float* HWY_RESTRICT scales) {
    const DF df;
    const DI di;
    const VF infinity = hn::Set(df, num::from_bits(num::kInfBits));
    const MF huge = hn::Ge(m_, hn::Set(df, kUnboundedMaximum));
    // from 4 m on all elements are zero: the first such code is the last one
    const VF m4 = hn::Mul(m_, hn::Set(df, 4.0f));
    const VI below = floor_code(m4);
    last_ = hn::Add(below, hn::IfThenElseZero(hn::RebindMask(di, hn::Lt(values_of(below), m4)), hn::Set(di, 1)));
    last_ = hn::Min(last_, hn::Set(di, num::kE4m3Count));
    start_ = floor_code(hn::Mul(m_, hn::Set(df, 1.0f / 6.0f)));
    winner_ = start_;
    least_ = second_ = upper_ = limit_ = infinity;
    walk(hn::AndNot(huge, hn::Eq(m_, m_)));
    // a naive scale of 0 wins against the last code, which leaves the same
    const MF noise = hn::Le(hn::Div(m_, hn::Set(df, 6.0f)), hn::Set(df, 0x1p-10f));
    const MF zero = hn::And(noise, hn::RebindMask(df, hn::Eq(winner_, last_)));
    hn::StoreU(hn::IfThenZeroElse(zero, values_of(winner_)), df, scales);
    settle(hn::Or(huge, hn::Le(second_, upper_)), scales);
  }

 private:
  // Downwards from the start until the clipped maximum alone leaves more than the best error, then upwards.
  HWY_INLINE void walk(MF open) {
    const DF df;
    const DI di;
    MF here = open;
    for (bottom_ = 0;; --bottom_) {
      const VI code = hn::Add(start_, hn::Set(di, bottom_));
      here = hn::And(here, hn::RebindMask(df, hn::Gt(code, hn::Zero(di))));
      const VF over = hn::Max(hn::NegMulAdd(hn::Set(df, 6.0f), values_of(code), m_), hn::Zero(df));
      here = hn::AndNot(hn::Gt(hn::Mul(hn::Mul(over, over), hn::Set(df, factor_.floor)), limit_), here);
      if (hn::AllFalse(df, here)) break;
      try_code(code, here, kMiddle + bottom_);
    }
    for (top_ = 1;; ++top_) {
      const VI code = hn::Add(start_, hn::Set(di, top_));
      open = hn::AndNot(hn::RebindMask(df, hn::Gt(code, last_)), open);
      if (hn::AllFalse(df, open)) break;
      try_code(code, open, kMiddle + top_);
    }
  }

  HWY_NOINLINE void try_code(VI code, MF open, int place) {
    const DF df;
    const VF scale = values_of(code);
    const VF infinity = hn::Set(df, num::from_bits(num::kInfBits));
    const LevelDown level(scale);
    VF r[kMaxBlock], sum = hn::Zero(df);
    const float* HWY_RESTRICT c = factor_.rows;
    hn::Store(infinity, df, lower_ + place * kLanes);
    for (int i = 0; i < n_; i += 4) {
      VF rows[4];
      for (int k = 0; k < 4; ++k) {
        const VF rest = hn::NegMulAdd(level(x_[i + k]), scale, x_[i + k]);
        r[i + k] = hn::Xor(rest, sign_[i + k]);
        rows[k] = hn::Zero(df);
      }
      for (int j = 0; j < i + 4; ++j, c += 4) {
        for (int k = 0; k < 4; ++k) rows[k] = hn::MulAdd(hn::Set(df, c[k]), r[j], rows[k]);
      }
      for (int k = 0; k < 4; ++k) sum = hn::MulAdd(rows[k], rows[k], sum);
      if (hn::AllFalse(df, hn::AndNot(hn::Gt(sum, limit_), open))) return;
    }
    VF squares = hn::Zero(df);
    for (int i = 0; i < n_; ++i) squares = hn::MulAdd(r[i], r[i], squares);
    const VF error = hn::NegMulAdd(hn::Set(df, factor_.shift), squares, sum);
    const VF tolerance = hn::MulAdd(hn::Set(df, factor_.tolerance), squares, hn::Set(df, 0x1p-110f));
    const VF lower = hn::IfThenElse(open, hn::Sub(error, tolerance), infinity);
    const VF upper = hn::IfThenElse(open, hn::Add(error, tolerance), infinity);
    hn::Store(lower, df, lower_ + place * kLanes);
    winner_ = hn::IfThenElse(hn::RebindMask(DI(), hn::Lt(lower, least_)), code, winner_);
    second_ = hn::Min(second_, hn::Max(lower, least_));
    least_ = hn::Min(least_, lower);
    upper_ = hn::Min(upper_, upper);
    // a sum beyond this leaves more than `upper_`: no residual is larger than its element
    const VF slack = hn::MulAdd(hn::Set(df, factor_.shift + factor_.tolerance), energy_, upper_);
    limit_ = hn::Mul(hn::Max(slack, hn::Zero(df)), hn::Set(df, 1.0f + 0x1p-12f));
  }

  // The definition, on some lanes.
  HWY_NOINLINE void settle(MF lanes, float* HWY_RESTRICT scales) const {
    const DF df;
    if (hn::AllFalse(df, lanes)) return;
    HWY_ALIGN float upper[kLanes];
    HWY_ALIGN int32_t starts[kLanes];
    hn::Store(upper_, df, upper);
    hn::Store(start_, DI(), starts);
    const auto mark = [&](int lane, bool* candidates) {
      for (int step = bottom_ + 1; step < top_; ++step) {
        if (lower_[(kMiddle + step) * kLanes + lane] <= upper[lane]) candidates[starts[lane] + step] = true;
      }
    };
    settle_lanes(
        lanes, rows_, n_, scales, [&](const float* x) { return hessian_scale(x, n_, matrix_.hessian); }, mark,
        [&](const float* x, const bool* candidates) { return best_hessian_scale(x, n_, matrix_.hessian, candidates); });
  }

  static constexpr int kMiddle = num::kE4m3Count;

  const BlockMatrix& matrix_;
  const HessianFactor& factor_;
  const float* rows_;
  int n_, top_ = 0, bottom_ = 0;  // steps between bottom and top were tried
  VF x_[kMaxBlock], sign_[kMaxBlock], m_, energy_;
  VI start_, last_, winner_;
  VF least_, second_;  // of the lower bounds
  VF upper_, limit_;   // the least of the upper bounds; what a sum of squares must not exceed
  HWY_ALIGN float lower_[2 * kMiddle * kLanes];
};

void hessian_scales(const BlockMatrix& matrix, const float* x, int n, int64_t blocks, float* HWY_RESTRICT scales) {
  if (!matrix.factor.rows) {
    for (int64_t b = 0; b < blocks; ++b) scales[b] = hessian_scale(x + b * n, n, matrix.hessian);
    return;
  }
  float rows[kLanes * kMaxBlock], found[kLanes];
  for (int64_t b = 0; b < blocks; b += kLanes) {
    const int64_t here = blocks - b < kLanes ? blocks - b : kLanes;
    const float* from = x + b * n;
    if (here < kLanes) {  // the blocks past the end are zero
      memset(rows, 0, sizeof rows);
      memcpy(rows, from, static_cast<size_t>(here * n) * sizeof(float));
      from = rows;
    }
    HessianLanes(matrix, from, n).search(found);
    memcpy(scales + b, found, static_cast<size_t>(here) * sizeof(float));
  }
}

// ---- ADMM --------------------------------------------------------------------------------------------------------------

using DD = hn::ScalableTag<double>;
using VD = hn::Vec<DD>;

constexpr int kDoubles = HWY_MAX_BYTES / 8;
constexpr int kAdmmLanes = AdmmLanes::kCount;

// out = a v, every sum in the order of the columns; transposed: of a.
HWY_NOINLINE void multiply(const double* HWY_RESTRICT transposed, const double* HWY_RESTRICT v, int n, double* HWY_RESTRICT out) {
  constexpr int kRows = 8;
  const DD dd;
  for (int lane = 0; lane < kAdmmLanes; lane += kDoubles) {
    for (int i = 0; i < n; i += kRows) {
      VD sums[kRows];
      for (int k = 0; k < kRows; ++k) sums[k] = hn::Zero(dd);
      for (int j = 0; j < n; ++j) {
        const VD value = hn::Load(dd, v + j * kAdmmLanes + lane);
        for (int k = 0; k < kRows; ++k) sums[k] = hn::Add(sums[k], hn::Mul(hn::Set(dd, transposed[j * n + i + k]), value));
      }
      for (int k = 0; k < kRows; ++k) hn::Store(sums[k], dd, out + (i + k) * kAdmmLanes + lane);
    }
  }
}

// num::block_hessian_detail::level_of every lane.
HWY_INLINE VD level_of(VD y) {
  const DD dd;
  const VD m = hn::Abs(y);
#if HWY_MAX_BYTES == 64
  // the least integer from 4 m on, in the low bits: a table has the levels of 16
  const __m512d steps =
      _mm512_fmadd_round_pd(m.raw, _mm512_set1_pd(4.0), _mm512_set1_pd(0x1p52), _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
  const __m512i index = _mm512_min_epu64(_mm512_castpd_si512(steps), _mm512_castpd_si512(_mm512_set1_pd(0x1p52 + 15.0)));
  const __m512d low =
      _mm512_maskz_permutex2var_pd(_mm512_cmp_pd_mask(m.raw, m.raw, _CMP_ORD_Q), _mm512_setr_pd(0, 0, .5, .5, 1, 1, 1.5, 1.5), index,
                                   _mm512_setr_pd(2, 2, 2, 3, 3, 3, 3, 4));
  const VD level = hn::Add(VD{low}, hn::IfThenElseZero(hn::Gt(m, hn::Set(dd, 5.0)), hn::Set(dd, 2.0)));
#else
  // levels are multiples of `step`; a quotient half way between two goes down
  const auto above2 = hn::Gt(m, hn::Set(dd, 2.0)), above4 = hn::Gt(m, hn::Set(dd, 4.0));
  const VD step = hn::IfThenElse(above4, hn::Set(dd, 2.0), hn::IfThenElse(above2, hn::Set(dd, 1.0), hn::Set(dd, 0.5)));
  const VD steps = hn::IfThenElse(above4, hn::Set(dd, 0.5), hn::IfThenElse(above2, hn::Set(dd, 1.0), hn::Set(dd, 2.0)));
  const VD near = hn::Mul(step, hn::Abs(hn::Ceil(hn::MulSub(m, steps, hn::Set(dd, 0.5)))));
  const VD level = hn::IfThenElseZero(hn::Eq(m, m), hn::IfThenElse(hn::Gt(m, hn::Set(dd, 5.0)), hn::Set(dd, 6.0), near));
#endif
  return hn::IfThenElse(hn::Lt(y, hn::Zero(dd)), hn::Neg(level), level);
}

// num::block_hessian_detail::project.
void admm_levels(AdmmLanes& lanes) {
  const DD dd;
  HWY_ALIGN double hw[kMaxBlock * kAdmmLanes], u[kMaxBlock * kAdmmLanes], rhs[kMaxBlock * kAdmmLanes], q[kMaxBlock * kAdmmLanes];
  const int n = lanes.n, values = n * kAdmmLanes;
  for (int i = 0; i < values; i += kDoubles) {
    const VD quotient = hn::Div(hn::Load(dd, lanes.x + i), hn::Load(dd, lanes.scale + i % kAdmmLanes));
    hn::Store(quotient, dd, q + i);
    hn::Store(level_of(quotient), dd, lanes.z + i);
    hn::Store(hn::Zero(dd), dd, u + i);
  }
  multiply(lanes.normalized, q, n, hw);
  for (int step = 0; step < lanes.n_inner; ++step) {
    for (int i = 0; i < values; i += kDoubles) {
      hn::Store(hn::Add(hn::Load(dd, hw + i), hn::Sub(hn::Load(dd, lanes.z + i), hn::Load(dd, u + i))), dd, rhs + i);
    }
    multiply(lanes.inverse, rhs, n, q);
    for (int i = 0; i < values; i += kDoubles) {
      const VD sum = hn::Add(hn::Load(dd, u + i), hn::Load(dd, q + i)), level = level_of(sum);
      hn::Store(level, dd, lanes.z + i);
      hn::Store(hn::Sub(sum, level), dd, u + i);
    }
  }
}

// The sums of num::block_hessian_detail::refit; that of z alone is num::block_hessian_detail::quadratic.
void admm_products(AdmmLanes& lanes) {
  const DD dd;
  HWY_ALIGN double h_z[kMaxBlock * kAdmmLanes];
  multiply(lanes.h, lanes.z, lanes.n, h_z);
  for (int lane = 0; lane < kAdmmLanes; lane += kDoubles) {
    VD x_h_z = hn::Zero(dd), z_h_z = x_h_z;
    for (int i = lane; i < lanes.n * kAdmmLanes; i += kAdmmLanes) {
      const VD sum = hn::Load(dd, h_z + i);
      x_h_z = hn::Add(x_h_z, hn::Mul(hn::Load(dd, lanes.x + i), sum));
      z_h_z = hn::Add(z_h_z, hn::Mul(hn::Load(dd, lanes.z + i), sum));
    }
    hn::Store(x_h_z, dd, lanes.x_h_z + lane);
    hn::Store(z_h_z, dd, lanes.z_h_z + lane);
  }
}

#endif

void fill_block_hessian_kernels(Kernels& kernels) {
#if HWY_NATIVE_FMA
  kernels.hessian_scales = hessian_scales;
  kernels.admm_levels = admm_levels;
  kernels.admm_products = admm_products;
#else
  (void)kernels;
#endif
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
