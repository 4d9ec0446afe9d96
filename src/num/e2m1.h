// E2M1 (FP4): magnitudes 0 .5 1 1.5 2 3 4 6 for codes 0..7, bit 3 is the sign. docs/numerics.md 1.
#pragma once

#include <stdint.h>

#include "num/bits.h"

namespace nvfp4cal::num {

// Nearest level of y >= 0, ties to the even mantissa, saturating at 6 (infinity too). NaN gives 0.
// Up to 2 the levels are .5 apart, up to 4 by 1, up to 6 by 2: adding 2^22 * 2^exponent(max(y, 1)) leaves just those bits
// of y in the mantissa, so that the hardware's own rounding does the work.
NVFP4CAL_HD inline float e2m1_round(float y) {
  if (!(y < 6.0f)) return y >= 6.0f ? 6.0f : 0.0f;
  const float magic = (y >= 4.0f ? 4.0f : y >= 2.0f ? 2.0f : 1.0f) * 4194304.0f;
  return (y + magic) - magic;
}

// The same for a y that is no NaN, without branches: for loops over many.
NVFP4CAL_HD inline float e2m1_round_no_nan(float y) {
  const float below = y < 6.0f ? y : 6.0f;
  const float large = below >= 4.0f ? 16777216.0f : 8388608.0f;
  const float magic = below >= 2.0f ? large : 4194304.0f;
  return (below + magic) - magic;
}

// Code 0..7 of a level.
NVFP4CAL_HD inline uint8_t e2m1_code_of_level(float q) {
  return static_cast<uint8_t>(q < 2.0f ? q * 2.0f : q < 4.0f ? q + 2.0f : q * 0.5f + 4.0f);
}

// Code of any float: a negative input keeps its sign bit even if it rounds to zero (code 8), -0.0 gives 0 [ModelOpt].
NVFP4CAL_HD inline uint8_t e2m1_code(float x) {
  return static_cast<uint8_t>(e2m1_code_of_level(e2m1_round(abs_of(x))) | (x < 0.0f ? 8 : 0));
}

// What devices do for the next: the code's bits are those of the value times 2^-126, which is subnormal for .5.
NVFP4CAL_HD inline float e2m1_value_by_bits(uint8_t code) { return from_bits((code & 8u) << 28 | (code & 7u) << 22) * 0x1p126f; }

NVFP4CAL_HD inline float e2m1_value(uint8_t code) {
#if defined(__CUDA_ARCH__)
  return e2m1_value_by_bits(code);
#else
  const int c = code & 7;
  const float magnitude = c < 4 ? 0.5f * static_cast<float>(c) : c < 6 ? static_cast<float>(c - 2) : static_cast<float>(2 * c - 8);
  return (code & 8) ? -magnitude : magnitude;
#endif
}

// ---- ties toward zero at every boundary [qwantize] ----------------------------------------------------------------------

// Magnitude code 0..7 of y >= 0, saturating (infinity too): how many boundaries lie below y. NaN gives 0.
NVFP4CAL_HD inline int e2m1_magnitude_code_ties_down(float y) {
  return (y > 0.25f) + (y > 0.75f) + (y > 1.25f) + (y > 1.75f) + (y > 2.5f) + (y > 3.5f) + (y > 5.0f);
}

// Code of any float; signs as in e2m1_code.
NVFP4CAL_HD inline uint8_t e2m1_code_ties_down(float x) {
  return static_cast<uint8_t>(e2m1_magnitude_code_ties_down(abs_of(x)) | (x < 0.0f ? 8 : 0));
}

// Signed level of x / scale; 0 / 0 is 0, anything else / 0 is 6. A negative x that rounds to zero gives -0.
NVFP4CAL_HD inline float e2m1_level_ties_down(float x, float scale) {
  const float level = e2m1_value(static_cast<uint8_t>(e2m1_magnitude_code_ties_down(abs_of(x) / scale)));
  return x > 0.0f ? level : x < 0.0f ? -level : 0.0f;
}

}  // namespace nvfp4cal::num
