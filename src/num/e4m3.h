// E4M3FN (FP8): codes 1..126 are the positive finite values in ascending order, 0x7F is NaN, bit 7 the sign. docs/numerics.md 1.
#pragma once

#include <stdint.h>

#include "num/bits.h"

namespace nvfp4cal::num {

inline constexpr int kE4m3Count = 126;      // positive finite codes 1..126
inline constexpr float kE4m3Max = 448.0f;   // code 126
inline constexpr float kE4m3Min = 0x1p-9f;  // code 1
inline constexpr uint8_t kE4m3One = 0x38;   // 1.0
inline constexpr uint8_t kE4m3Nan = 0x7F;

// Value of a magnitude code 0..126.
NVFP4CAL_HD inline float e4m3_magnitude(int code) {
  return code < 8 ? static_cast<float>(code) * kE4m3Min : from_bits((static_cast<uint32_t>(code) << 20) + (120u << 23));
}

// Value of any byte; 0x7F and 0xFF are NaN.
NVFP4CAL_HD inline float e4m3_value(uint8_t code) {
  const float magnitude = (code & 0x7F) == kE4m3Nan ? from_bits(0x7FC00000u) : e4m3_magnitude(code & 0x7F);
  return (code & 0x80) ? -magnitude : magnitude;
}

// Magnitude code of y >= 0: nearest, ties to even, saturating at 448 (infinity too). NaN gives 0x7F.
NVFP4CAL_HD inline uint8_t e4m3_code_of_magnitude(float y) {
  if (!(y < kE4m3Max)) return y >= kE4m3Max ? 126 : kE4m3Nan;
  if (y < 0x1p-6f) {  // the subnormal range and code 8: multiples of 2^-9
    const float magic = 0x1p14f;
    return static_cast<uint8_t>(((y + magic) - magic) * 512.0f);
  }
  const uint32_t u = bits_of(y);
  return static_cast<uint8_t>(((u + 0x7FFFFu + ((u >> 20) & 1)) >> 20) - 960u);
}

NVFP4CAL_HD inline uint8_t e4m3_code(float x) { return static_cast<uint8_t>(e4m3_code_of_magnitude(abs_of(x)) | (bits_of(x) >> 31 << 7)); }

// The largest code 1..126 with value <= y, at least 1.
NVFP4CAL_HD inline int e4m3_floor_code(float y) {
  if (y >= kE4m3Max) return 126;
  if (y >= 0x1p-6f) return static_cast<int>(bits_of(y) >> 20) - 960;
  const int code = static_cast<int>(y * 512.0f);
  return code < 1 ? 1 : code;
}

}  // namespace nvfp4cal::num
