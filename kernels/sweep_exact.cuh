// The definition of the search (docs/numerics.md 3), one block a thread: what the filters in front of it must agree with.
#pragma once

#include "num/e2m1.h"
#include "sweep_problem.cuh"

namespace nvfp4cal::cuda {

struct ScalePair {
  float scale, reciprocal;  // reciprocal is the rounded 1 / scale
};

// What all blocks of a slice share. In shared memory.
struct SliceTables {
  float global_amax;          // as given; 0: a slice of zeros
  float prescale, prescale2;  // x times both is x in units where G is `amax`, in [1, 2)
  float amax;
  float global_scale;  // in those units
  float zero_below;    // m <= this: every code gives zeros
  float saturation;    // m >= this: the largest code that may be tried
  alignas(8) ScalePair of[num::kE4m3Count + 2];
};

// The part that thread `thread` of `threads` fills in. A call, so that what it divides does not stay in registers.
NVFP4CAL_HD_CALL inline void build_tables(const SweepProblem& p, int64_t slice, int thread, int threads, SliceTables& t) {
  constexpr float kUnboundedSaturation = 0x1p60f;  // keeps sums of searches without a saturation rule below float32's largest number
  const float given = p.global_amax[slice];
  const float g = given > 0.0f ? given : 1.0f;
  const int exponent = num::normalizing_exponent(g);  // -127 .. 149
  // 2^-127 is subnormal, which pow2 cannot make
  const float prescale = exponent < -126 ? 0x1p-127f : num::pow2(exponent > 127 ? 127 : exponent);
  const float prescale2 = exponent > 127 ? num::pow2(exponent - 127) : 1.0f;
  const float amax = g * prescale * prescale2;
  NVFP4CAL_NO_UNROLL
  for (int code = thread; code <= num::kE4m3Count; code += threads) {
    const float scale = num::search_scale(code, amax, p.normalization);
    t.of[code] = {scale, code > 0 ? 1.0f / scale : 0.0f};
  }
  if (thread != 0) return;
  t.global_amax = given;
  t.prescale = prescale;
  t.prescale2 = prescale2;
  t.amax = amax;
  t.global_scale = num::global_scale(amax, p.normalization);
  t.zero_below = num::search_scale(1, amax, p.normalization) / 4.0f;
  t.saturation = p.weights || p.has_window ? kUnboundedSaturation : num::CandidateRule(p.block, p.normalization).saturation * amax;
}

// Codes to be tried: top, top - 1, .. while keeps() and code >= 1.
struct CodeLadder {
  int top, bottom;  // bottom: a window's last code, or 1
  bool ruled;       // whether the lower rule ends it
  float u;
  num::CandidateRule rule;

  NVFP4CAL_HD bool keeps(int code) const { return code >= bottom && (!ruled || rule.keep(num::e4m3_magnitude(code), u)); }
};

NVFP4CAL_HD inline int clamped_code(int code) { return code < 1 ? 1 : code > num::kE4m3Count ? num::kE4m3Count : code; }

NVFP4CAL_HD inline CodeLadder code_ladder(const SweepProblem& p, const SliceTables& t, float m) {
  CodeLadder ladder{num::kE4m3Count, 1, false, 0.0f, num::CandidateRule(p.block, p.normalization)};
  if (p.has_window) {
    const int n = num::max_code(m, t.global_scale);
    ladder.top = clamped_code(n + p.window_hi);
    ladder.bottom = clamped_code(n + p.window_lo);
    return ladder;
  }
  ladder.u = ladder.rule.u_of(m, t.amax);
  ladder.top = ladder.rule.top_code(ladder.u);
  ladder.ruled = p.weights == nullptr;  // no lower rule holds for weights
  return ladder;
}

// The error of a block at one scale, to the bit: true division, nearest even level, fused residual and sum in order. w may be NULL.
template <int kBlock>
NVFP4CAL_HD inline float exact_error(const float* x, const float* w, float scale) {
  float error = 0.0f;
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; ++i) {
    const float q = num::e2m1_round(x[i] / scale);
    const float r = fmaf(-q, scale, x[i]);
    error = fmaf(w ? w[i] * r : r, r, error);
  }
  return error;
}

// The best code so far of a walk downwards: the smallest code wins ties.
struct BestCode {
  float error;
  int code;
  NVFP4CAL_HD void offer(float e, int c) {
    if (!(e <= error)) return;
    error = e;
    code = c;
  }
};

template <int kBlock>
NVFP4CAL_HD inline int exact_code(const SliceTables& t, const CodeLadder& ladder, const float* x, const float* w) {
  BestCode best{num::from_bits(num::kInfBits), ladder.top};
  NVFP4CAL_NO_UNROLL
  for (int code = ladder.top; ladder.keeps(code); --code) best.offer(exact_error<kBlock>(x, w, t.of[code].scale), code);
  return best.code;
}

// |x| of a block in normalized units; the bits of the largest.
template <int kBlock>
NVFP4CAL_HD inline uint32_t normalize_block(const SliceTables& t, float* x) {
  uint32_t largest = 0;
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; ++i) x[i] = fabsf(x[i]) * t.prescale;
  if (t.prescale2 != 1.0f) {
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; ++i) x[i] *= t.prescale2;
  }
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; ++i) {
    const uint32_t bits = num::bits_of(x[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

// Searches blocks by Search: code = Search::run(tables, ladder, x, w, m) of |x|, weights (or NULL) and m in normalized units.
template <Dtype kDtype, int kBlockSize, bool kWeighted, class Search>
struct BlockSearch {
  static constexpr int kBlock = kBlockSize;
  using Shared = SliceTables;

  static NVFP4CAL_HD void build(const SweepProblem& p, int64_t slice, int thread, int threads, Shared& shared) {
    build_tables(p, slice, thread, threads, shared);
  }

  static NVFP4CAL_HD void run(const SweepProblem& p, const SliceTables& t, int64_t block) {
    float x[kBlock], w[kWeighted ? kBlock : 1];
    load_block<kBlock>(p.x, kDtype, block, x);
    const uint32_t largest = normalize_block<kBlock>(t, x);
    // an element far above G may become infinite in its units, which is no error
    if (largest >= num::kInfBits && note_non_finite(p, block)) {
      p.codes[block] = 1;
      return;
    }
    if constexpr (kWeighted) load_weights<kBlock>(p, block, w);
    p.codes[block] = static_cast<uint8_t>(code_of(p, t, x, kWeighted ? w : nullptr, num::from_bits(largest)));
  }

 private:
  static NVFP4CAL_HD int code_of(const SweepProblem& p, const SliceTables& t, const float* x, const float* w, float m) {
    if (t.global_amax == 0.0f) return num::kE4m3One;
    if (m == 0.0f) return 1;
    const CodeLadder ladder = code_ladder(p, t, m);
    if (m >= t.saturation) return kWeighted || p.has_window ? ladder.top : num::kE4m3Count;
    if (m <= t.zero_below && !p.has_window) return 1;
    return Search::run(t, ladder, x, w, m);
  }
};

template <int kBlock>
struct ExactSearch {
  static NVFP4CAL_HD int run(const SliceTables& t, const CodeLadder& ladder, const float* x, const float* w, float) {
    return exact_code<kBlock>(t, ladder, x, w);
  }
};

}  // namespace nvfp4cal::cuda
