// x^p from additions, multiplications and divisions alone: the C library's pow may differ from machine to machine in its last bit.
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

// log2 of a normal x > 0: exponent, and the series of atanh for a mantissa in [sqrt(1/2), sqrt(2)).
NVFP4CAL_HD inline double log2(double x) {
  const uint64_t u = bits_of(x);
  const uint64_t shifted = u - 0x3FE6A09E667F3BCDull;  // bits of sqrt(1/2)
  const int64_t exponent = static_cast<int64_t>(shifted) >> 52;
  const double m = from_bits(u - (static_cast<uint64_t>(exponent) << 52));
  const double t = (m - 1.0) / (m + 1.0), t2 = t * t;
  constexpr double kTerms[] = {1.0,      1 / 3.0,  1 / 5.0,  1 / 7.0,  1 / 9.0,  1 / 11.0,
                               1 / 13.0, 1 / 15.0, 1 / 17.0, 1 / 19.0, 1 / 21.0, 1 / 23.0};
  double sum = kTerms[11];
  for (int k = 10; k >= 0; --k) sum = sum * t2 + kTerms[k];
  return static_cast<double>(exponent) + t * sum * 2.8853900817779268;  // 2 / ln 2
}

// 2^y for |y| < 2^31: a power of two and the series of exp. Results below 2^-1022 are 0.
NVFP4CAL_HD inline double exp2(double y) {
  if (y >= 1024.0) return from_bits(0x7FF0000000000000ull);
  if (y < -1022.0) return 0.0;
  const double shift = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double n = (y + shift) - shift;
  const double f = (y - n) * 0.69314718055994531;
  constexpr double kTerms[] = {
      1.0,         1.0,          1 / 2.0,       1 / 6.0,        1 / 24.0,        1 / 120.0,        1 / 720.0,        1 / 5040.0,
      1 / 40320.0, 1 / 362880.0, 1 / 3628800.0, 1 / 39916800.0, 1 / 479001600.0, 1 / 6227020800.0, 1 / 87178291200.0};
  double sum = kTerms[14];
  for (int k = 13; k >= 0; --k) sum = sum * f + kTerms[k];
  const int64_t e = static_cast<int64_t>(n);
  // in two steps: 2^1024 has no bits of its own
  return sum * from_bits(static_cast<uint64_t>(e / 2 + 1023) << 52) * from_bits(static_cast<uint64_t>(e - e / 2 + 1023) << 52);
}

}  // namespace power_detail

// x = 0, infinity or NaN (gives x), or a normal x > 0; p > 0. Relative error below 2^-40 for p up to 16 and float32 x.
NVFP4CAL_HD inline double power(double x, double p) {
  if (p == 2.0) return x * x;
  if (p == 1.0) return x;
  return x > 0.0 && x < 1e300 ? power_detail::exp2(p * power_detail::log2(x)) : x;
}

}  // namespace nvfp4cal::num
