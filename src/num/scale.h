// THE two-level scale recipe: how a block's E4M3 code and the tensor's global amax G make a scale, and back.
// Every operation is one float32 operation in the stated order; nothing else in the project repeats them. docs/numerics.md 2 and 3.
#pragma once

#include <stdint.h>

#include "num/e4m3.h"
#include "num/minifloat.h"

namespace nvfp4cal::num {

// N: 448, or 256 for the four-over-six variant.
inline constexpr float kNormalization = 448.0f;

// weight_scale_2; 6 N is 2688 or 1536, exact.
NVFP4CAL_HD inline float global_scale(float global_amax, float normalization) { return global_amax / (6.0f * normalization); }

NVFP4CAL_HD inline float candidate(int code, float normalization) { return e4m3_magnitude(code) / normalization; }

// What the calibrators return.
NVFP4CAL_HD inline float block_amax(int code, float global_amax, float normalization) {
  return global_amax * candidate(code, normalization);
}

// The scale inside the search.
NVFP4CAL_HD inline float search_scale(int code, float global_amax, float normalization) {
  return (candidate(code, normalization) * global_amax) / 6.0f;
}

// The scale that stored codes are divided by and decoded with [ModelOpt].
NVFP4CAL_HD inline float stored_scale(float value, float global_scale) { return value * global_scale; }

// compressed-tensors' decoder.
NVFP4CAL_HD inline float stored_scale_reciprocal(float value, float weight_global_scale) { return value / weight_global_scale; }

// weight_global_scale from a range's amax, in compressed-tensors' order; 1 where it would be infinite.
NVFP4CAL_HD inline float reciprocal_global_scale(float global_amax, float normalization = kNormalization) {
  const float scale = (6.0f * normalization) * (1.0f / global_amax);
  return is_finite(scale) ? scale : 1.0f;
}

// b = 0 -> 1.0; clamp to [2^-9, 448]; nearest even. Never 0 and never NaN.
NVFP4CAL_HD inline uint8_t clamped_code(float b) {
  if (b == 0.0f) return kE4m3One;
  return e4m3_code_of_magnitude(b > kE4m3Min ? b : kE4m3Min);
}

// The baseline ("max") code of a block [ModelOpt's dynamic path].
NVFP4CAL_HD inline uint8_t max_code(float block_amax, float global_scale) {
  if (block_amax == 0.0f) return kE4m3One;
  return clamped_code(block_amax / (6.0f * global_scale));
}

// What the code of a calibrated block amax is rounded from [ModelOpt's static path]. A G so small that the quotient has no float32
// value is multiplied up, with the amax, by 2^64 first (exact); no branches.
NVFP4CAL_HD inline float quotient_of_amax(float amax, float global_amax, float normalization) {
  const float factor = global_amax < 0x1p-60f ? 0x1p64f : amax > 0x1p100f ? 0x1p-32f : 1.0f;
  return (amax * factor / 6.0f) * normalization / (global_amax * factor / 6.0f);
}

// The code of a calibrated block amax: returns what the sweep chose.
NVFP4CAL_HD inline uint8_t code_of_amax(float amax, float global_amax, float normalization) {
  if (amax == 0.0f) return kE4m3One;
  return clamped_code(quotient_of_amax(amax, global_amax, normalization));
}

// That code's value for G > 0, without branches: for loops over many amaxes.
NVFP4CAL_HD inline float value_of_amax(float amax, float global_amax, float normalization) {
  const float b = quotient_of_amax(amax, global_amax, normalization);
  const float above = b > kE4m3Min ? b : kE4m3Min;
  const float value = e4m3_round(above < kE4m3Max ? above : kE4m3Max);
  return b == 0.0f ? 1.0f : value;
}

// ---- the search --------------------------------------------------------------------------------------------------------

// Multiplying x and G by 2^exponent brings G into [1, 2): exact, and keeps sums of squares inside float32's range.
NVFP4CAL_HD inline int normalizing_exponent(float global_amax) { return -exponent_of(global_amax); }

// Which codes have to be tried. hi is the first code tried; walking down, a code is tried while keep() holds.
struct CandidateRule {
  float u_factor;    // u = (m * u_factor) / G is 2 m / 7 in units of the E4M3 value
  float lower;       // a code with value v is kept while v * lower >= u ...
  float always;      // ... or v > always: above 224 there is no lower rule
  float saturation;  // m >= saturation * G: every code clips, the largest wins

  NVFP4CAL_HD CandidateRule(int block, float normalization)
      : u_factor(normalization == 256.0f ? 12.0f * 256.0f / 7.0f : 768.0f),
        lower(2.0f * (block == 32 ? 8.95f : 7.95f) / 7.0f),
        always(224.0f),
        saturation(8.0f * 448.0f / normalization) {}

  NVFP4CAL_HD float u_of(float m, float normalized_amax) const { return (m * u_factor) / normalized_amax; }

  // The largest code with v <= u (1 + 2^-20), at least 15.
  NVFP4CAL_HD int top_code(float u) const {
    const int code = e4m3_floor_code(u * (1.0f + 0x1p-20f));
    return code < 15 ? 15 : code;
  }

  NVFP4CAL_HD bool keep(float v, float u) const { return v * lower >= u || v > always; }
};

}  // namespace nvfp4cal::num
