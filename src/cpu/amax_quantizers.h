// The fake quantizers of the multiplier search, one element at a time: no branches, so that a loop over elements becomes vector code.
#pragma once

#include "core/ops.h"
#include "num/e5m2.h"
#include "num/minifloat.h"
#include "num/scale.h"

namespace nvfp4cal::cpu {

// What an amax makes of a quantizer: value(x, scale) is all that a loop needs.
struct AmaxScale {
  float in, out;
};

inline constexpr float kTinyAmax = 0x1p-24f;  // [ModelOpt]: amaxes up to here have no scale

inline float clamped(float x, float lo, float hi) {
  const float y = x < lo ? lo : x;
  return y > hi ? hi : y;
}

struct IntQuantizer {
  float lo, hi;

  AmaxScale scale(float amax) const {
    const bool tiny = amax <= kTinyAmax;
    const float s = hi / (tiny ? 1.0f : amax);
    return {tiny ? 0.0f : s, tiny ? 1.0f : s};
  }
  // The bounds are integers: clamping before rounding is clamping after it.
  float value(float x, AmaxScale s) const {
    const float magic = 12582912.0f;  // 1.5 * 2^23: the sum has no fraction bits
    return ((clamped(x * s.in, lo, hi) + magic) - magic) / s.out;
  }
};

template <float (*round)(float)>
struct FloatQuantizer {
  float largest;

  AmaxScale scale(float amax) const {
    const float s = largest * (1.0f / (amax <= kTinyAmax ? 1.0f : amax));
    return {s, 1.0f / s};
  }
  float value(float x, AmaxScale s) const { return round(clamped(x * s.in, -largest, largest)) * s.out; }
};

struct Nvfp4Quantizer {
  float global_amax;

  // A scale that underflows makes zeros of everything.
  AmaxScale scale(float amax) const {
    const float value = num::value_of_amax(amax, global_amax, num::kNormalization);
    const float s = num::stored_scale(value, num::global_scale(global_amax, num::kNormalization));
    return {s > 0.0f ? s : 1.0f, s};
  }
  float value(float x, AmaxScale s) const { return num::e2m1_round_signed(clamped(x / s.in, -6.0f, 6.0f)) * s.out; }
};

// body(quantizer) with the one that is meant.
template <class Body>
void with_quantizer(const AmaxQuantizer& quantizer, Body&& body) {
  switch (quantizer.format) {
    case AmaxFormat::kInt: return body(IntQuantizer{quantizer.lo, quantizer.hi});
    case AmaxFormat::kE4m3: return body(FloatQuantizer<num::e4m3_round>{num::kE4m3Max});
    case AmaxFormat::kE5m2: return body(FloatQuantizer<num::e5m2_round>{num::kE5m2Max});
    case AmaxFormat::kE2m1: return body(FloatQuantizer<num::e2m1_round_signed>{6.0f});
    case AmaxFormat::kNvfp4: return body(Nvfp4Quantizer{quantizer.global_amax});
  }
}

// in[i], out[i] = the scale of amax[i].
template <class Quantizer>
inline void set_scales(const Quantizer& quantizer, const float* amax, int64_t n, float* __restrict in, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) {
    const AmaxScale scale = quantizer.scale(amax[i]);
    in[i] = scale.in;
    out[i] = scale.out;
  }
}

}  // namespace nvfp4cal::cpu
