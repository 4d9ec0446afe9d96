// The float filter: candidates by five float32 operations an element and code, and the definition for the codes that these cannot tell apart.
// Proof: docs/cuda_sweep.md, "float filter".
#pragma once

#include "sweep_exact.cuh"

namespace nvfp4cal::cuda {

// Distance of y >= 0 to the nearest E2M1 level but for its sign, as the rounding error of one product. Folding z = 1 + |y - 1| puts the levels 0 .. 2, which
// are .5 apart, onto those from 1 to 2: from there on E2M1 keeps one bit of the mantissa, and z * (2^22 - 1) rounds to just those bits.
// Right for z < 7; with kClip for z < 2^24.
template <bool kClip>
NVFP4CAL_HD inline float level_distance(float x, float reciprocal) {
  constexpr float kSplit = 4194303.0f;
  const float w = fmaf(x, reciprocal, -1.0f);
  const float z = fabsf(w) + 1.0f;
  const float c = z * kSplit;
  const float e = fmaf(z, kSplit, -c);  // level - z
  return kClip ? fminf(e, 6.0f - z) : e;
}

// What a filtered sum of squares may be exceeded by for a code to stay in the race.
template <int kBlock, bool kWeighted>
NVFP4CAL_HD inline float contender_limit(float best, float largest) {
  constexpr float kSteps = (kWeighted ? 0x1p-27f : 0x1p-28f) * kBlock;
  return fmaf(best, 1.0f + 0x1p-13f, kSteps * (largest * largest));
}

template <int kBlock, bool kClip>
NVFP4CAL_HD inline float filtered_error(const ScalePair& s, const float* x) {
  float even = 0.0f, odd = 0.0f;
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; i += 2) {
    const float e0 = level_distance<kClip>(x[i], s.reciprocal), e1 = level_distance<kClip>(x[i + 1], s.reciprocal);
    even = fmaf(e0, e0, even);
    odd = fmaf(e1, e1, odd);
  }
  return ((even + odd) * s.scale) * s.scale;
}

// Searches without weights and window. Rung k is the code top - k; a mask has a bit for each rung that may hold the winner.
template <int kBlock>
struct FilterSearch {
  static constexpr int kOctave = 8;  // codes that every block tries

  static NVFP4CAL_HD uint32_t contenders(const SliceTables& t, const CodeLadder& ladder, const float* x, float m) {
    // 2 m / 7 from 480 on has no code: then quotients may lie above 7 at all codes
    const bool inside = ladder.u * (1.0f + 0x1p-20f) < 480.0f;
    return inside ? contenders_of<false>(t, ladder, x, m) : contenders_of<true>(t, ladder, x, m);
  }

  static NVFP4CAL_HD int run(const SliceTables& t, const CodeLadder& ladder, const float* x, const float*, float m) {
    const uint32_t mask = contenders(t, ladder, x, m);
    const int first = lowest_bit(mask);
    if ((mask & (mask - 1)) == 0) return ladder.top - first;
    BestCode best{num::from_bits(num::kInfBits), ladder.top - first};
    NVFP4CAL_NO_UNROLL
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      const int code = ladder.top - lowest_bit(rest);
      best.offer(exact_error<kBlock>(x, nullptr, t.of[code].scale), code);
    }
    return best.code;
  }

 private:
  static NVFP4CAL_HD int lowest_bit(uint32_t bits) {
#if defined(__CUDA_ARCH__)
    return __ffs(static_cast<int>(bits)) - 1;
#else
    return __builtin_ctz(bits);
#endif
  }

  template <bool kClip>
  static NVFP4CAL_HD uint32_t contenders_of(const SliceTables& t, const CodeLadder& ladder, const float* x, float m) {
    const ScalePair* const top = t.of + ladder.top;
    const float largest = fmaxf(m, top->scale);
    float errors[kOctave];
    NVFP4CAL_UNROLL
    for (int k = 0; k < kOctave; ++k) errors[k] = filtered_error<kBlock, kClip>(top[-k], x);
    float best = errors[0];
    NVFP4CAL_UNROLL
    for (int k = 1; k < kOctave; ++k) best = fminf(best, errors[k]);
    float limit = contender_limit<kBlock, false>(best, largest);
    uint32_t mask = 0;
    NVFP4CAL_NO_UNROLL
    for (int k = kOctave; ladder.keeps(ladder.top - k); ++k) {
      const ScalePair s = top[-k];
      const float clipped = fmaf(-6.0f, s.scale, m);  // of the maximum, at this and every smaller scale
      if (clipped > 0.0f && clipped * clipped > limit) break;
      const float error = filtered_error<kBlock, true>(s, x);
      if (!(error <= limit)) continue;
      mask |= 1u << k;
      best = fminf(best, error);
      limit = contender_limit<kBlock, false>(best, largest);
    }
    NVFP4CAL_UNROLL
    for (int k = 0; k < kOctave; ++k) mask |= errors[k] <= limit ? 1u << k : 0u;
    return mask;
  }
};

}  // namespace nvfp4cal::cuda
