// x^p from additions, multiplications and one division, each of them float64 as written: the C library's pow may differ from machine to machine in its
// last bit, and these steps are the same in vector lanes (cpu/power-inl.h).
#pragma once

#include <stdint.h>
#include <string.h>

#include "num/target.h"

namespace nvfp4cal::num {

namespace power_detail {

NVFP4CAL_HD inline uint64_t bits_of(double x) {
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

NVFP4CAL_HD inline double from_bits(uint64_t u) {
  double x;
  memcpy(&x, &u, sizeof x);
  return x;
}

inline constexpr uint64_t kSqrtHalf = 0x3FE6A09E667F3BCDull;  // bits of sqrt(1/2)
inline constexpr uint64_t kMantissa = 0x000FFFFFFFFFFFFFull;
inline constexpr uint64_t kExponents = 1024;                     // added to exponents, so that they are not negative
inline constexpr uint64_t kTwoTo52 = 0x4330000000000000ull;      // bits of 2^52, whose last bits are an integer
inline constexpr double kExponentShift = 0x1p52 + 1024.0;        // what they have too much
inline constexpr double kRoundShift = 6755399441055744.0;        // 1.5 * 2^52: adding it rounds to an integer
inline constexpr double kLargest = 1024.0, kSmallest = -1022.0;  // of y in 2^y

// log2(m) = sum over k of kLog2Terms[k] t^(2k+1), t = (m - 1) / (m + 1): 2 / (ln 2 (2k + 1)). For m in [sqrt(1/2), sqrt(2)) the rest is below 2^-51.
inline constexpr int kLog2Count = 9;
struct Log2Terms {
  double at[kLog2Count];
  constexpr Log2Terms() : at() {
    for (int k = 0; k < kLog2Count; ++k) at[k] = 2.8853900817779268 / (2 * k + 1);
  }
};

// 2^f = sum over k of kExp2[k] f^k: (ln 2)^k / k!. For |f| <= 1/2 the rest is below 2^-52.
inline constexpr int kExp2Count = 13;
inline constexpr double kLn2 = 0.69314718055994531;
struct Exp2Terms {
  double at[kExp2Count];
  constexpr Exp2Terms() : at() {
    at[0] = 1.0;
    for (int k = 1; k < kExp2Count; ++k) at[k] = at[k - 1] * kLn2 / k;
  }
};
// Tables of functions' own: device code sees no variables of a namespace.
// Both series in pairs, pairs of pairs, ..: short chains of operations that wait for each other.
NVFP4CAL_HD inline double log2_series(double z) {
  constexpr Log2Terms kTerms;
  const double* const c = kTerms.at;
  const double z2 = z * z, z4 = z2 * z2;
  const double low = (c[0] + c[1] * z) + (c[2] + c[3] * z) * z2;
  const double high = (c[4] + c[5] * z) + (c[6] + c[7] * z) * z2;
  return low + (high + c[8] * z4) * z4;
}

NVFP4CAL_HD inline double exp2_series(double f) {
  constexpr Exp2Terms kTerms;
  const double* const c = kTerms.at;
  const double f2 = f * f, f4 = f2 * f2, f8 = f4 * f4;
  const double low = (c[0] + c[1] * f) + (c[2] + c[3] * f) * f2;
  const double middle = (c[4] + c[5] * f) + (c[6] + c[7] * f) * f2;
  const double high = (c[8] + c[9] * f) + (c[10] + c[11] * f) * f2;
  return (low + middle * f4) + (high + c[12] * f4) * f8;
}

// log2 of a normal x > 0: exponent, and the series for a mantissa in [sqrt(1/2), sqrt(2)).
NVFP4CAL_HD inline double log2(double x) {
  const uint64_t shifted = bits_of(x) + ((kExponents << 52) - kSqrtHalf);
  const double exponent = from_bits(shifted >> 52 | kTwoTo52) - kExponentShift;
  const double m = from_bits((shifted & kMantissa) + kSqrtHalf);
  const double t = (m - 1.0) / (m + 1.0);
  return exponent + t * log2_series(t * t);
}

// 2^y: the exponent is added to the bits of 2^f. Infinity from 1024 on; below 2^-1022 it is 0.
NVFP4CAL_HD inline double exp2(double y) {
  if (y < kSmallest) return 0.0;
  const double capped = y < kLargest ? y : kLargest;
  const double rounded = capped + kRoundShift;
  const double sum = exp2_series(capped - (rounded - kRoundShift));
  return from_bits(bits_of(sum) + (bits_of(rounded) << 52));
}

}  // namespace power_detail

// x = 0, infinity or NaN (gives x), or a normal x > 0; p > 0. Relative error below 2^-40.
NVFP4CAL_HD inline double power(double x, double p) {
  if (p == 2.0) return x * x;
  if (p == 1.0) return x;
  return x > 0.0 && x < 1e300 ? power_detail::exp2(p * power_detail::log2(x)) : x;
}

}  // namespace nvfp4cal::num
