// Integers in the order of float32 numbers: what threads combine by integer maxima.
#pragma once

#include "num/bits.h"

namespace nvfp4cal::num {

// Of finite numbers; above 0, and so is its complement. -0 counts as 0.
NVFP4CAL_HD inline uint32_t order_key(float x) {
  const uint32_t bits = bits_of(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

NVFP4CAL_HD inline float from_order_key(uint32_t key) { return from_bits(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key); }

}  // namespace nvfp4cal::num
