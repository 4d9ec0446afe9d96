// The float filter for searches with weights. Proof: docs/cuda_sweep.md, "Weights".
#pragma once

#include "sweep_filter.cuh"

namespace nvfp4cal::cuda {

// The three codes of least filtered error of a walk; of the third only the error.
struct LeastThree {
  float first, second, third;
  int first_code, second_code;
  NVFP4CAL_HD void add(float error, int code) {
    const bool wins = error < first, places = error < second;
    third = places ? second : fminf(third, error);
    second = wins ? first : places ? error : second;
    second_code = wins ? first_code : places ? code : second_code;
    first = wins ? error : first;
    first_code = wins ? code : first_code;
  }
};

struct WeightedError {
  float error;
  float clipped;  // what y above 6 adds: no less at any smaller scale
};

template <int kBlock, bool kClip>
NVFP4CAL_HD inline WeightedError weighted_error(const ScalePair& s, const float* x, const float* w) {
  float sum = 0.0f, clipped = 0.0f;
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; ++i) {
    if (kClip) {
      const float above = fmaxf(fmaf(x[i], s.reciprocal, -6.0f), 0.0f);
      clipped = fmaf(w[i] * above, above, clipped);
    }
    const float e = level_distance<kClip>(x[i], s.reciprocal);
    sum = fmaf(w[i] * e, e, sum);
  }
  return {(sum * s.scale) * s.scale, (clipped * s.scale) * s.scale};
}

// Searches with weights: no lower rule holds, codes below are out once what they clip exceeds the limit.
template <int kBlock>
struct WeightedSearch {
  static NVFP4CAL_HD int run(const SliceTables& t, const CodeLadder& ladder, const float* x, const float* w, float m) {
    constexpr float kLargest = 8.0f;  // below it no quotient reaches 2^24, where 6 - z would be rounded
    if (m >= kLargest) return exact_code<kBlock>(t, ladder, x, w);
    const float largest = fmaxf(m, t.of[ladder.top].scale);
    constexpr float kInfinity = __builtin_huge_valf();
    LeastThree least = {kInfinity, kInfinity, kInfinity, ladder.top, ladder.top};
    float limit = kInfinity;
    NVFP4CAL_NO_UNROLL
    for (int code = ladder.top; code >= 1; --code) {
      const ScalePair s = t.of[code];
      // quotients above 7 need more operations; the largest is m / s
      const WeightedError found = m < 6.9f * s.scale ? weighted_error<kBlock, false>(s, x, w) : weighted_error<kBlock, true>(s, x, w);
      least.add(found.error, code);
      limit = contender_limit<kBlock, true>(least.first, largest);
      if (found.clipped > limit) break;
    }
    if (least.second > limit) return least.first_code;
    if (!(least.third > limit)) return exact_code<kBlock>(t, ladder, x, w);
    const float first = exact_error<kBlock>(x, w, t.of[least.first_code].scale);
    const float second = exact_error<kBlock>(x, w, t.of[least.second_code].scale);
    const bool swap = second < first || (second == first && least.second_code < least.first_code);
    return swap ? least.second_code : least.first_code;
  }
};

}  // namespace nvfp4cal::cuda
