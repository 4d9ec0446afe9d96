// Quotients without divisions: an approximate reciprocal and two fused steps, and the codes of what they give. docs/numerics.md, "How nibbles are found without
// dividing": a quotient made so may differ from the correctly rounded one, but never has another code. tests/unit/test_kernel_quotient.cpp tries it.
#pragma once

#include <math.h>

#include "num/e2m1.h"
#include "num/e4m3.h"

namespace nvfp4cal::cuda {

// 1 / x, one unit in the last place off at most, for normal x and 1 / x. On the host one of the numbers that this may be, so that tests depend on none.
NVFP4CAL_HD inline float approximate_reciprocal(float x) {
#if defined(__CUDA_ARCH__)
  float reciprocal;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(x));
  return reciprocal;
#else
  return num::from_bits(num::bits_of(1.0f / x) + num::bits_of(x) % 3 - 1);
#endif
}

// What numbers are divided by, and its reciprocal: an approximate one and a step of Newton's.
struct Reciprocal {
  float by, reciprocal;

  NVFP4CAL_HD explicit Reciprocal(float divisor) : Reciprocal(divisor, approximate_reciprocal(divisor)) {}
  NVFP4CAL_HD Reciprocal(float divisor, float approximate)
      : by(divisor), reciprocal(fmaf(approximate, fmaf(-divisor, approximate, 1.0f), approximate)) {}

  // 2^-90 <= by < 2^90, and not the last number below a power of two: there the step may leave a reciprocal that is too small.
  NVFP4CAL_HD bool is_ordinary() const {
    const uint32_t place = num::bits_of(by) + 1 - (37u << 23);
    return place < 180u << 23 && (place & 0x7FFFFFu) != 0;
  }
  // For such divisors, x / by where that is near a boundary between levels of E2M1 or E4M3, on the same side of it. One that overflows is NaN.
  NVFP4CAL_HD float quotient(float x) const {
    const float estimate = x * reciprocal;
    return fmaf(fmaf(-estimate, by, x), reciprocal, estimate);
  }
};

// Bytes of a and b, numbered 0..3 and 4..7: four digits of the selector, the lowest first.
NVFP4CAL_HD inline uint32_t pick_bytes(uint32_t a, uint32_t b, uint32_t selector) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(a, b, selector);
#else
  const uint64_t both = a | static_cast<uint64_t>(b) << 32;
  uint32_t picked = 0;
  for (int i = 0; i < 4; ++i) picked |= static_cast<uint32_t>(both >> (selector >> (4 * i) & 7) * 8 & 0xFF) << (8 * i);
  return picked;
#endif
}

// A magnitude rounded to a level of E2M1. NaN counts as infinite. Adding 2^22 times the power of two below it leaves the level's bits, as in num::e2m1_round; 214 units in
// the last place more bring them to where the exponent's lowest bits, added, make the code's upper ones of them.
struct Rounded {
  static constexpr float kMagic = 4194304.0f + 107.0f;
  float power, sum;

  NVFP4CAL_HD explicit Rounded(float magnitude) {
    const float below = fminf(magnitude, 6.0f);
    power = num::from_bits(num::bits_of(fmaxf(below, 1.0f)) & num::kInfBits);
    sum = fmaf(power, kMagic, below);
  }
  // 0..7 in the lowest byte; there is more above it.
  NVFP4CAL_HD uint32_t code_byte() const { return num::bits_of(sum) + (num::bits_of(sum) >> 22); }
  NVFP4CAL_HD float level() const { return fmaf(-power, kMagic, sum); }
};

// The negative number from which on quotients round to zero: -step * 2^-150, cut off to a multiple of 2^-149.
NVFP4CAL_HD inline float lost_below(float step) { return floorf(step * 0.5f) * -0x1p-60f * 0x1p-89f; }

// The codes of x / step of 8 elements, the first in the lowest nibble, for an ordinary step. A negative x whose quotient is not zero has bit 3 set.
NVFP4CAL_HD inline uint32_t nibbles_of_8(const float* x, const Reciprocal& step, float lost) {
  uint32_t pairs[4];  // in the lowest bytes
  NVFP4CAL_UNROLL
  for (int i = 0; i < 4; ++i) {
    const float *const low = x + 2 * i, *const high = low + 1;
    pairs[i] = Rounded(fabsf(step.quotient(*low))).code_byte() + 16 * Rounded(fabsf(step.quotient(*high))).code_byte();
    if (*low < lost) pairs[i] += 0x08;
    if (*high < lost) pairs[i] += 0x80;
  }
  return pick_bytes(pick_bytes(pairs[0], pairs[1], 0x0040), pick_bytes(pairs[2], pairs[3], 0x0040), 0x5410);
}

// What such a code stands for, times the step.
NVFP4CAL_HD inline float decoded_value(float x, const Reciprocal& step, float lost) {
  const float value = Rounded(fabsf(step.quotient(x))).level() * step.by;
  return x < lost ? -value : value;
}

// The codes for any step.
NVFP4CAL_HD inline uint32_t divided_nibbles_of_8(const float* x, float step) {
  uint32_t nibbles = 0;
  NVFP4CAL_UNROLL
  for (int i = 0; i < 8; ++i) nibbles |= static_cast<uint32_t>(num::e2m1_code(x[i] / step)) << (4 * i);
  return nibbles;
}

// A block's scale: its code and what that stands for.
struct BlockScale {
  uint8_t code;
  float value;

  NVFP4CAL_HD explicit BlockScale(uint8_t of_block) : BlockScale(of_block, num::e4m3_magnitude(of_block)) {}
  NVFP4CAL_HD BlockScale(uint8_t of_block, float magnitude) : code(of_block), value(magnitude) {}
};

// num::clamped_code of a quotient that is not 0, in fewer operations, as Rounded.
NVFP4CAL_HD inline BlockScale scale_of_quotient(float quotient) {
  constexpr float kMagic = 0x1p20f + 19.0f;
  const float clamped = fminf(fmaxf(quotient, num::kE4m3Min), num::kE4m3Max);
  const float power = num::from_bits(num::bits_of(fmaxf(clamped, 0x1p-6f)) & num::kInfBits);
  const float sum = fmaf(power, kMagic, clamped);
  return {static_cast<uint8_t>(num::bits_of(sum) + (num::bits_of(sum) >> 20)), fmaf(-power, kMagic, sum)};
}

}  // namespace nvfp4cal::cuda
