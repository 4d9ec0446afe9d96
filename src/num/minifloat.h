// Rounding to a short float format without branches or tables, for loops that a compiler turns into vector code.
#pragma once

#include "num/bits.h"

namespace nvfp4cal::num {

// Nearest value, ties to even, of a format with `mantissa` stored bits and smallest normal exponent `smallest`. |x| is at most the format's largest
// value (the caller clamps). Adding 2^(23 - mantissa) units of x's binade leaves just the format's bits in the sum. The sign of zero is kept.
template <int mantissa, int smallest>
NVFP4CAL_HD inline float minifloat_round(float x) {
  const uint32_t sign = bits_of(x) & 0x80000000u;
  const float y = abs_of(x);
  constexpr float kSmallest = smallest < 0 ? 1.0f / static_cast<float>(1u << (smallest < 0 ? -smallest : 0)) : 1.0f;
  const float binade = from_bits(bits_of(y > kSmallest ? y : kSmallest) & kInfBits);
  const float magic = binade * static_cast<float>(1u << (23 - mantissa));
  return from_bits(bits_of((y + magic) - magic) | sign);
}

NVFP4CAL_HD inline float e4m3_round(float x) { return minifloat_round<3, -6>(x); }
NVFP4CAL_HD inline float e5m2_round(float x) { return minifloat_round<2, -14>(x); }
NVFP4CAL_HD inline float e2m1_round_signed(float x) { return minifloat_round<1, 0>(x); }

}  // namespace nvfp4cal::num
