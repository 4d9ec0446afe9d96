// The search weighted by a Hessian, one block a lane: the definition (docs/numerics.md 4), and in front of it a bound that proves most codes out.
// Proof: docs/cuda_sweep.md, "Hessian".
#pragma once

#include "hessian_sweep_bound.cuh"
#include "kernels/atomics.cuh"
#include "sweep_exact.cuh"
#include "sweep_lanes.cuh"

namespace nvfp4cal::cuda {

struct HessianProblem {
  SweepProblem sweep;             // no weights; a slice has whole rows of blocks
  const DeviceHessian* hessians;  // [columns]: block b of a slice has number b % columns
  int64_t columns;
  bool definition;  // tries all codes
};

// What the blocks of a segment, a column of blocks of one slice, share.
struct HessianShared {
  SliceTables slice;
  DeviceHessian hessian;
  uint32_t inexact;  // whether some quotient's level may differ from that of the corrected product: then residuals divide
};

// Nearest level, ties to even, of y >= 0: num::e2m1_round in fewer operations.
NVFP4CAL_HD inline float nearest_level(float y) {
  const float capped = fminf(y, 6.0f);
  const float magic = num::from_bits(num::bits_of(fmaxf(capped, 1.0f)) & num::kInfBits) * 4194304.0f;
  return (capped + magic) - magic;
}

// x / s but for less than 2^-45 of it before its own rounding.
NVFP4CAL_HD inline float corrected_quotient(float x, const ScalePair& s) {
  const float near = x * s.reciprocal;
  return fmaf(fmaf(-near, s.scale, x), s.reciprocal, near);
}

// Whether the corrected quotient has the level of the rounded one for all magnitudes within a few steps of boundary `b` of seven; further away no
// quotient that is off by so little can cross it.
NVFP4CAL_HD inline bool levels_agree(const ScalePair& s, int b) {
  const float boundary = b < 4 ? 0.25f + 0.5f * static_cast<float>(b) : b == 4 ? 2.5f : b == 5 ? 3.5f : 5.0f;
  const uint32_t middle = num::bits_of(boundary * s.scale);
  for (uint32_t bits = middle - 4; bits <= middle + 4; ++bits) {
    const float x = num::from_bits(bits);
    if (nearest_level(corrected_quotient(x, s)) != num::e2m1_round(x / s.scale)) return false;
  }
  return true;
}

NVFP4CAL_HD inline float with_sign_of(float magnitude, float x) {
  return num::from_bits(num::bits_of(magnitude) ^ (num::bits_of(x) & ~num::kAbsMask));
}

// The definition's residuals.
template <int kBlock>
NVFP4CAL_HD inline void residuals(const HessianShared& shared, const float* x, int code, float* r) {
  const ScalePair s = shared.slice.of[code];
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; ++i) {
    const float magnitude = fabsf(x[i]);
    const float y = shared.inexact ? magnitude / s.scale : corrected_quotient(magnitude, s);
    r[i] = with_sign_of(fmaf(-nearest_level(y), s.scale, magnitude), x[i]);
  }
}

// r' H r to the bit: sums fused and in order.
template <int kBlock>
NVFP4CAL_HD inline float quadratic_form(const DeviceHessian& h, const float* r) {
  float error = 0.0f;
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; ++i) {
    float t = 0.0f;
    NVFP4CAL_UNROLL
    for (int j = 0; j < kBlock; ++j) t = fmaf(h.values[i * kBlock + j], r[j], t);
    error = fmaf(r[i], t, error);
  }
  return error;
}

// Codes of one block, 1 .. 126.
class CodeSet {
 public:
  NVFP4CAL_HD void add(int code) { (code < 64 ? low_ : high_) |= uint64_t{1} << (code & 63); }
  NVFP4CAL_HD void add_range(int lo, int hi) {
    NVFP4CAL_NO_UNROLL
    for (int code = lo; code <= hi; ++code) add(code);
  }
  NVFP4CAL_HD bool empty() const { return (low_ | high_) == 0; }
  // Removes one and returns it.
  NVFP4CAL_HD int take() {
    const bool in_low = low_ != 0;
    const uint64_t bits = in_low ? low_ : high_, rest = bits & (bits - 1);
    low_ = in_low ? rest : low_;
    high_ = in_low ? high_ : rest;
#if defined(__CUDA_ARCH__)
    const int place = __ffsll(static_cast<long long>(bits)) - 1;
#else
    const int place = __builtin_ctzll(bits);
#endif
    return in_low ? place : place + 64;
  }

 private:
  uint64_t low_ = 0, high_ = 0;
};

// The search of one block; x in normalized units, with its signs, m > 0 its largest magnitude.
template <int kBlock>
class HessianBlockSearch {
 public:
  NVFP4CAL_HD HessianBlockSearch(const HessianShared& shared, const float* x, float m, float u) : shared_(shared), x_(x), m_(m), u_(u) {}

  NVFP4CAL_HD int all(int lo, int hi) {
    best_ = {num::from_bits(num::kInfBits), hi};
    CodeSet codes;
    codes.add_range(lo, hi);
    evaluate(codes);
    return best_.code;
  }

  NVFP4CAL_HD int pruned() {
    best_ = {num::from_bits(num::kInfBits), num::kE4m3Count};
    top_ = num::e4m3_floor_code(u_ * (1.0f + 0x1p-20f));
    energy_ = 0.0f;
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; ++i) energy_ = fmaf(x_[i], x_[i], energy_);
    const int guess = first_guess();
    NVFP4CAL_NO_UNROLL
    for (int part = 0; part < 4; ++part) {
      CodeSet codes;
      if (part == 0) codes.add(guess);
      if (part == 1) near_top(guess, codes);
      if (part == 2) above(codes);
      if (part == 3) below(guess, codes);
      evaluate(codes);
    }
    return best_.code;
  }

 private:
  // Offsets from the top code that are bounded first.
  static constexpr int kAbove = 3, kBelow = 8;

  // The definition for each of these codes; the smallest code wins ties.
  NVFP4CAL_HD void evaluate(CodeSet& codes) {
    NVFP4CAL_NO_UNROLL
    while (!codes.empty()) {
      num::read_anew();
      const int code = codes.take();
      float r[kBlock];
      residuals<kBlock>(shared_, x_, code, r);
      const float error = quadratic_form<kBlock>(shared_.hessian, r);
      if (error < best_.error || (error == best_.error && code < best_.code)) best_ = {error, code};
    }
    limit_ = fmaf(shared_.hessian.slack, energy_, best_.error) * (1.0f + 0x1p-10f);
  }

  // Codes that can win: once all elements become zero (4 m <= s), every larger code has the same error.
  NVFP4CAL_HD bool in_range(int code) const {
    return code >= 1 && code <= num::kE4m3Count && (code == 1 || shared_.slice.of[code - 1].scale < 4.0f * m_);
  }

  // The code near the top one with the least error by H's diagonal alone.
  NVFP4CAL_HD int first_guess() const {
    float least = num::from_bits(num::kInfBits);
    int guess = clamped_code(top_);
    NVFP4CAL_NO_UNROLL
    for (int code = top_ + 1; code > top_ - kBelow; --code) {
      if (!in_range(code)) continue;
      num::read_anew();
      float r[kBlock];
      residuals<kBlock>(shared_, x_, code, r);
      float error = 0.0f;
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock; ++i) error = fmaf(shared_.hessian.values[i * (kBlock + 1)] * r[i], r[i], error);
      if (error < least) {
        least = error;
        guess = code;
      }
    }
    return guess;
  }

  struct Bound {
    float diagonal, all;
  };

  // Rows are added until the limit is exceeded.
  NVFP4CAL_HD Bound bound_of(int code) const {
    num::read_anew();
    const DeviceHessian& h = shared_.hessian;
    float r[kBlock];
    residuals<kBlock>(shared_, x_, code, r);
    Bound bound = {0.0f, 0.0f};
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; ++i) bound.diagonal = fmaf(h.d[i] * r[i], r[i], bound.diagonal);
    bound.all = bound.diagonal;
    NVFP4CAL_NO_UNROLL
    for (int k = 0; k < h.rows && !(bound.all > limit_); ++k) {
      float even = 0.0f, odd = 0.0f;
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock; i += 2) {
        even = fmaf(h.w[k][i], r[i], even);
        odd = fmaf(h.w[k][i + 1], r[i + 1], odd);
      }
      bound.all = fmaf(even + odd, even + odd, bound.all);
    }
    return bound;
  }

  NVFP4CAL_HD void near_top(int guess, CodeSet& codes) {
    NVFP4CAL_NO_UNROLL
    for (int offset = kAbove; offset >= -kBelow; --offset) {
      const int code = top_ + offset;
      const bool tried = in_range(code);
      const Bound bound = tried ? bound_of(code) : Bound{0.0f, 0.0f};
      if (tried && code != guess && !(bound.all > limit_)) codes.add(code);
      if (offset > 0 && closes(code, tried, bound)) live_ &= ~(1u << (code & 7));
    }
  }

  // Above 2 m / 7 doubling v does not lower the diagonal part, and code + 8 doubles v from code 8 on. A code that can no longer win has none above.
  NVFP4CAL_HD bool closes(int code, bool tried, const Bound& bound) const {
    if (code < 1) return false;
    return !tried || (code >= 8 && bound.diagonal > limit_);
  }

  NVFP4CAL_HD void above(CodeSet& codes) {
    NVFP4CAL_NO_UNROLL
    for (int code = clamped_code(top_ + kAbove + 1); live_ != 0; ++code) {
      if (!in_range(code)) break;
      if (!(live_ >> (code & 7) & 1)) continue;
      const Bound bound = bound_of(code);
      if (!(bound.all > limit_)) codes.add(code);
      if (closes(code, true, bound)) live_ &= ~(1u << (code & 7));
    }
  }

  NVFP4CAL_HD void below(int guess, CodeSet& codes) const {
    NVFP4CAL_NO_UNROLL
    for (int code = top_ - kBelow - 1; code >= 1; --code) {
      if ((top_ - code) % 4 == 1 && bound_from_here_down(shared_.slice.of[code].scale) > limit_) return;
      if (code != guess && !(bound_of(code).all > limit_)) codes.add(code);
    }
  }

  // At this and every smaller scale: |r| >= |x| - 6 s, and r = x - z with z of x's sign and at most min(6 s, 2 |x|), so that w . r lies within half the
  // sum of |w| z of w . (x - z / 2).
  NVFP4CAL_HD float bound_from_here_down(float scale) const {
    num::read_anew();
    const DeviceHessian& h = shared_.hessian;
    const float most = scale * (6.0f * (1.0f + 0x1p-20f));
    float sum = 0.0f;
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; ++i) {
      const float over = fmaxf(fabsf(x_[i]) - most, 0.0f);
      sum = fmaf(h.d[i] * over, over, sum);
    }
    NVFP4CAL_NO_UNROLL
    for (int k = 0; k < h.rows && !(sum > limit_); ++k) {
      float middle = 0.0f, reach = 0.0f;
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock; ++i) {
        const float half = 0.5f * fminf(most, 2.0f * fabsf(x_[i])), w = h.w[k][i];
        middle = fmaf(w, x_[i] - with_sign_of(half, x_[i]), middle);
        reach = fmaf(fabsf(w), half, reach);
      }
      const float distance = fmaxf(fabsf(middle) - reach, 0.0f);
      sum = fmaf(distance, distance, sum);
    }
    return sum;
  }

  const HessianShared& shared_;
  const float* const x_;
  const float m_, u_;
  int top_ = 0;
  float energy_ = 0.0f, limit_ = 0.0f;
  uint32_t live_ = 0xFF;  // classes of codes modulo 8 above the top one that may hold the winner
  BestCode best_ = {};
};

template <Dtype kDtype, int kBlock>
struct HessianSearch {
  using Shared = HessianShared;
  struct Lane {};

  static NVFP4CAL_HD Segments segments(const HessianProblem& p) {
    return {p.sweep.slices * p.columns, p.sweep.blocks_per_slice / p.columns};
  }

  template <class Cta>
  static NVFP4CAL_HD void build(Cta& cta, const HessianProblem& p, uint32_t segment, Shared& shared) {
    const int64_t slice = segment / p.columns;
    const uint32_t* const from = reinterpret_cast<const uint32_t*>(p.hessians + segment % p.columns);
    cta.each([&](int thread) {
      build_tables(p.sweep, slice, thread, Cta::kThreads, shared.slice);
      uint32_t* const to = reinterpret_cast<uint32_t*>(&shared.hessian);
      for (int i = thread; i < static_cast<int>(sizeof(DeviceHessian) / 4); i += Cta::kThreads) to[i] = from[i];
      if (thread == 0) shared.inexact = 0;
    });
    cta.each([&](int thread) {
      for (int i = thread; i < 56; i += Cta::kThreads) {
        if (!levels_agree(shared.slice.of[num::kE4m3One + i / 7], i % 7)) keep_max(&shared.inexact, 1u);
      }
    });
  }

  template <class Warp>
  static NVFP4CAL_HD void run(Warp& warp, const HessianProblem& p, const Shared& shared, const Units& units) {
    const int64_t slice = units.segment / p.columns, column = units.segment % p.columns;
    const int64_t rows = p.sweep.blocks_per_slice / p.columns;
    for (uint32_t unit = units.first; unit < units.end; unit += units.step) {
      warp.each([&](int lane, Lane&) {
        const int64_t row = int64_t{unit} * kWarp + lane;
        if (row < rows) search(p, shared, slice * p.sweep.blocks_per_slice + row * p.columns + column);
      });
    }
  }

 private:
  static NVFP4CAL_HD void search(const HessianProblem& p, const Shared& shared, int64_t block) {
    const SliceTables& t = shared.slice;
    float x[kBlock];
    load_block<kBlock>(p.sweep.x, kDtype, block, x);
    uint32_t largest = 0;
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; ++i) {
      x[i] = x[i] * t.prescale * t.prescale2;
      const uint32_t bits = num::bits_of(x[i]) & num::kAbsMask;
      largest = bits > largest ? bits : largest;
    }
    if (largest >= num::kInfBits && note_non_finite(p.sweep, block)) {
      p.sweep.codes[block] = 1;
      return;
    }
    p.sweep.codes[block] = static_cast<uint8_t>(code_of(p, shared, x, num::from_bits(largest)));
  }

  static NVFP4CAL_HD int code_of(const HessianProblem& p, const Shared& shared, const float* x, float m) {
    constexpr float kSaturation = 0x1p56f;
    const SliceTables& t = shared.slice;
    if (t.global_amax == 0.0f) return num::kE4m3One;
    if (m == 0.0f) return 1;
    int lo = 1, hi = num::kE4m3Count;
    if (p.sweep.has_window) {
      const int n = num::max_code(m, t.global_scale);
      lo = clamped_code(n + p.sweep.window_lo);
      hi = clamped_code(n + p.sweep.window_hi);
    }
    if (m >= kSaturation) return hi;
    HessianBlockSearch<kBlock> search(shared, x, m, num::CandidateRule(kBlock, p.sweep.normalization).u_of(m, t.amax));
    if (p.definition || p.sweep.has_window || !shared.hessian.usable) return search.all(lo, hi);
    return search.pruned();
  }
};

}  // namespace nvfp4cal::cuda
