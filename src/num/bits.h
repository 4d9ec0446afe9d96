// float32 <-> its bits, and exact powers of two.
#pragma once

#include <stdint.h>
#include <string.h>

#include "num/target.h"

namespace nvfp4cal::num {

NVFP4CAL_HD inline uint32_t bits_of(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

NVFP4CAL_HD inline float from_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

inline constexpr uint32_t kAbsMask = 0x7FFFFFFFu;
inline constexpr uint32_t kInfBits = 0x7F800000u;

NVFP4CAL_HD inline float abs_of(float x) { return from_bits(bits_of(x) & kAbsMask); }
NVFP4CAL_HD inline bool is_finite(float x) { return (bits_of(x) & kAbsMask) < kInfBits; }

// 2^e for -126 <= e <= 127.
NVFP4CAL_HD inline float pow2(int e) { return from_bits(static_cast<uint32_t>(e + 127) << 23); }

// The exponent e with 2^e <= x < 2^(e+1); x > 0 and finite, subnormals included.
NVFP4CAL_HD inline int exponent_of(float x) {
  uint32_t u = bits_of(x) & kAbsMask;
  if (u >= 0x00800000u) return static_cast<int>(u >> 23) - 127;
  int e = -127;
  while (u < 0x00400000u) {
    u <<= 1;
    --e;
  }
  return e;
}

}  // namespace nvfp4cal::num
