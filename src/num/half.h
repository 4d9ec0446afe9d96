// bfloat16 and float16 <-> float32, round to nearest even.
#pragma once

#include <stdint.h>

#include "num/bits.h"

namespace nvfp4cal::num {

NVFP4CAL_HD inline float bf16_to_f32(uint16_t h) { return from_bits(static_cast<uint32_t>(h) << 16); }

NVFP4CAL_HD inline uint16_t f32_to_bf16(float x) {
  const uint32_t u = bits_of(x);
  if ((u & kAbsMask) > kInfBits) return static_cast<uint16_t>((u >> 16) | 0x40);  // keep NaN a NaN
  return static_cast<uint16_t>((u + 0x7FFFu + ((u >> 16) & 1)) >> 16);
}

// Exact. (A device may make another NaN of a NaN.)
NVFP4CAL_HD inline float f16_to_f32(uint16_t h) {
#if defined(__CUDA_ARCH__)
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
#else
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t magnitude = h & 0x7FFFu;
  if (magnitude >= 0x7C00u) return from_bits(sign | kInfBits | ((magnitude & 0x3FFu) << 13));
  if (magnitude >= 0x0400u) return from_bits(sign | ((magnitude << 13) + (112u << 23)));
  const float value = static_cast<float>(magnitude) * 0x1p-24f;
  return from_bits(sign | bits_of(value));
#endif
}

NVFP4CAL_HD inline uint16_t f32_to_f16(float x) {
  const uint32_t u = bits_of(x);
  const uint32_t a = u & kAbsMask;
  const uint16_t sign = static_cast<uint16_t>(u >> 16 & 0x8000u);
  if (a > kInfBits) return static_cast<uint16_t>(sign | 0x7E00u | (a >> 13 & 0x3FFu));
  if (a >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and above round to infinity
  if (a < 0x38800000u) {                                               // below 2^-14: multiples of 2^-24
    const float magic = 0.5f;                                          // ulp of [0.5, 1) is 2^-24
    return static_cast<uint16_t>(sign | (bits_of(from_bits(a) + magic) - bits_of(magic)));
  }
  return static_cast<uint16_t>(sign | ((a - (112u << 23) + 0xFFFu + (a >> 13 & 1)) >> 13));
}

}  // namespace nvfp4cal::num
