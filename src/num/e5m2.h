// E5M2 (FP8): codes 0..123 are the finite magnitudes in ascending order, 124 is infinity, above it NaN, bit 7 the sign. docs/numerics.md 1.
#pragma once

#include <stdint.h>

#include "num/bits.h"

namespace nvfp4cal::num {

inline constexpr float kE5m2Max = 57344.0f;  // code 123
inline constexpr uint8_t kE5m2Inf = 0x7C;
inline constexpr uint8_t kE5m2Nan = 0x7F;

// Value of a finite magnitude code 0..123.
NVFP4CAL_HD inline float e5m2_magnitude(int code) {
  return code < 4 ? static_cast<float>(code) * 0x1p-16f : from_bits((static_cast<uint32_t>(code) << 21) + (112u << 23));
}

// Value of any byte.
NVFP4CAL_HD inline float e5m2_value(uint8_t code) {
  const int c = code & 0x7F;
  const float magnitude = c < kE5m2Inf ? e5m2_magnitude(c) : from_bits(c == kE5m2Inf ? kInfBits : 0x7FC00000u);
  return (code & 0x80) ? -magnitude : magnitude;
}

// Magnitude code of y >= 0: nearest, ties to even, saturating at 57344 (infinity too). NaN gives 0x7F.
NVFP4CAL_HD inline uint8_t e5m2_code_of_magnitude(float y) {
  if (!(y < kE5m2Max)) return y >= kE5m2Max ? 123 : kE5m2Nan;
  if (y < 0x1p-14f) {  // the subnormal range and code 4: multiples of 2^-16
    const float magic = 0x1p7f;
    return static_cast<uint8_t>(((y + magic) - magic) * 65536.0f);
  }
  const uint32_t u = bits_of(y);
  return static_cast<uint8_t>(((u + 0xFFFFFu + ((u >> 21) & 1)) >> 21) - 448u);
}

NVFP4CAL_HD inline uint8_t e5m2_code(float x) { return static_cast<uint8_t>(e5m2_code_of_magnitude(abs_of(x)) | (bits_of(x) >> 31 << 7)); }

}  // namespace nvfp4cal::num
