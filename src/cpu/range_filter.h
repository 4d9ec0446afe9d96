// The filter of the observers' search: sums of |fake(x) - x|^norm in float32, good enough to tell most steps apart. Where two sums lie nearer to each other than
// the filter can err, the exact ones decide. The bound: docs/observer.md, "Filter".
#pragma once

#include <cstdint>

#include "num/bits.h"

namespace nvfp4cal::cpu {

inline constexpr int32_t kFilterSqrtHalf = 0x3F3504F3;  // bits of sqrt(1/2)

// log2(1 + r) = r * sum kFilterLog2[k] r^k for 1 + r in [sqrt(1/2), sqrt(2)], to 2^-21; 2^f = sum kFilterExp2[k] f^k for |f| <= 1/2, to 2^-22.
inline constexpr float kFilterLog2[] = {1.4426996707916260f,  -0.72137582302093506f, 0.48046621680259705f, -0.35896325111389160f,
                                        0.29725077748298645f, -0.27268621325492859f, 0.17065681517124176f};
inline constexpr float kFilterExp2[] = {1.0000001192092896f,   0.69314724206924438f,   0.24022106826305389f,
                                        0.055502973496913910f, 0.0096760364249348640f, 0.0013409999664872885f};

// Elements whose errors are added in float32; their sums are added in float64.
inline constexpr int64_t kFilterChunk = 512;

// A sum is within a factor 1 +- kFilterError of the exact one, and kFilterSlack for each element.
inline constexpr double kFilterError = 0x1p-15, kFilterSlack = 0x1p-60;

// Exponents for which it holds. Squares and magnitudes need no filter.
inline bool filter_takes(double norm) { return norm > 1.0 && norm <= 3.0 && norm != 2.0; }

inline constexpr int kLargestShift = 60;

// Ranges whose largest magnitude lies between 2^-60 and 2^60 are shifted to [1, 2): returns false for others.
inline bool filter_shift(float min, float max, int* shift) {
  const float amax = num::abs_of(min) > num::abs_of(max) ? num::abs_of(min) : num::abs_of(max);
  if (!(amax >= 0x1p-60f && amax <= 0x1p60f)) return false;
  *shift = -num::exponent_of(amax);
  return true;
}

}  // namespace nvfp4cal::cpu
