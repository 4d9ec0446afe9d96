#include "calib/log2_edges.h"

#include <algorithm>
#include <cmath>

#include "num/bits.h"

namespace nvfp4cal::calib {

namespace {

__extension__ using Wide = __int128;
__extension__ using WideBits = unsigned __int128;

// Binary digits after the point.
constexpr int kFraction = 60;

// log2 of a positive finite float32 by repeated squaring of its mantissa: a square of 2 or more is a digit 1. Each squaring is cut to 64 bits,
// so all digits together are right to 2^-61, and exact for powers of two; neighbouring float32 numbers lie at least 2^-24 apart.
Wide log2_of(uint32_t bits) {
  const float x = num::from_bits(bits);
  const int exponent = num::exponent_of(x);
  const uint64_t significand = static_cast<uint64_t>(std::ldexp(static_cast<double>(x), 23 - exponent));  // [2^23, 2^24)
  uint64_t m = significand << 40, digits = 0;
  for (int i = 0; i < kFraction; ++i) {
    const WideBits square = static_cast<WideBits>(m) * m;
    const bool digit = (square >> 127) != 0;
    m = static_cast<uint64_t>(square >> (digit ? 64 : 63));
    digits = digits << 1 | (digit ? 1 : 0);
  }
  return (static_cast<Wide>(exponent) * (Wide{1} << kFraction)) + digits;
}

Wide fixed(double x) { return static_cast<Wide>(std::nearbyint(std::ldexp(x, kFraction))); }

}  // namespace

std::vector<uint32_t> log2_edges(double lo, double hi, int bins) {
  const Wide low = fixed(lo), range = fixed(hi) - low;
  std::vector<uint32_t> edges;
  edges.reserve(static_cast<size_t>(bins));
  for (int k = 1; k < bins; ++k) {
    const auto below = [&](uint32_t bits) { return (log2_of(bits) - low) * bins < range * k; };
    // The C library's guess is a step off at most; the comparison decides.
    const double exponent = std::clamp(lo + (hi - lo) * k / bins, -160.0, 128.0);
    uint32_t edge = std::clamp(num::bits_of(static_cast<float>(std::exp2(exponent))), 1u, num::kInfBits);
    while (edge < num::kInfBits && below(edge)) ++edge;
    while (edge > 1 && !below(edge - 1)) --edge;
    edges.push_back(edge);
  }
  return edges;
}

}  // namespace nvfp4cal::calib
