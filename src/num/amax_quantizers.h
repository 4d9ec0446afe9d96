// The fake quantizers of the multiplier search, one element at a time, on host and device: no branches, so that a loop over elements becomes vector code.
// docs/numerics.md 5.
#pragma once

#include "num/e5m2.h"
#include "num/minifloat.h"
#include "num/scale.h"

namespace nvfp4cal::num {

// What an amax makes of a quantizer: value(x, scale) is all that a loop needs.
struct AmaxScale {
  float in, out;
};

inline constexpr float kTinyAmax = 0x1p-24f;  // [ModelOpt]: amaxes up to here have no scale

NVFP4CAL_HD inline float clamped(float x, float lo, float hi) {
  const float y = x < lo ? lo : x;
  return y > hi ? hi : y;
}

struct IntQuantizer {
  float lo, hi;

  NVFP4CAL_HD AmaxScale scale(float amax) const {
    const bool tiny = amax <= kTinyAmax;
    const float s = hi / (tiny ? 1.0f : amax);
    return {tiny ? 0.0f : s, tiny ? 1.0f : s};
  }
  // The bounds are integers: clamping before rounding is clamping after it.
  NVFP4CAL_HD float value(float x, AmaxScale s) const {
    const float magic = 12582912.0f;  // 1.5 * 2^23: the sum has no fraction bits
    return ((clamped(x * s.in, lo, hi) + magic) - magic) / s.out;
  }
};

template <float (*round)(float)>
struct FloatQuantizer {
  float largest;

  NVFP4CAL_HD AmaxScale scale(float amax) const {
    const float s = largest * (1.0f / (amax <= kTinyAmax ? 1.0f : amax));
    return {s, 1.0f / s};
  }
  NVFP4CAL_HD float value(float x, AmaxScale s) const { return round(clamped(x * s.in, -largest, largest)) * s.out; }
};

struct Nvfp4Quantizer {
  float global_amax;

  // A scale that underflows makes zeros of everything.
  NVFP4CAL_HD AmaxScale scale(float amax) const {
    const float value_of = value_of_amax(amax, global_amax, kNormalization);
    const float s = stored_scale(value_of, global_scale(global_amax, kNormalization));
    return {s > 0.0f ? s : 1.0f, s};
  }
  NVFP4CAL_HD float value(float x, AmaxScale s) const { return e2m1_round_signed(clamped(x / s.in, -6.0f, 6.0f)) * s.out; }
};

}  // namespace nvfp4cal::num
