#include "cpu/integer_ladder.h"

#include <algorithm>
#include <cmath>

#include "num/scale.h"

namespace nvfp4cal::cpu {

namespace {

// u is too small by this factor, so that the largest magnitude fits into sixteen bits.
constexpr double kShrink = 1.0 - 0x1p-16;
// scale / 2^e of a top code: m / scale lies between 3.5 and 6.1, m / 2^e in [1, 2).
constexpr double kLargestTopScale = 2.0 / 3.5 * (1.0 + 0x1p-10);
// The same of the first code below the main ladder: m / scale lies between 7.985 and 8.99.
constexpr double kLargestDeeperScale = 2.0 / 7.985 * (1.0 + 0x1p-10);

// 2^shift / scale in both halves of a word, 0 if it has more than sixteen bits.
uint32_t inverse_of(double scale, int shift) {
  const double inverse = std::ldexp(1.0, shift) / (scale * kShrink);
  return inverse > 65535.0 ? 0 : static_cast<uint32_t>(std::lrint(inverse)) * 0x10001u;
}

// scale times the power of four that brings it to (largest / 4, largest].
double near_below(double scale, double largest) {
  while (scale > largest) scale /= 4;
  while (scale <= largest / 4) scale *= 4;
  return scale;
}

// Value of the code `rung` below the code with mantissa 8 + mantissa (eighths), relative to it.
double rung_value(int mantissa, int rung) {
  int eighths = 8 + mantissa - rung;
  double power = 1.0;
  for (; eighths < 8; eighths += 8) power /= 2;
  return power * eighths / (8 + mantissa);
}

}  // namespace

IntegerLadder::IntegerLadder(float global_amax, float normalization)
    : unit_scale(num::search_scale(num::kE4m3One, global_amax, normalization)),
      t_factor(static_cast<float>(12.0 * normalization / 7.0 / global_amax * (1.0 + 0x1p-18))) {
  const double unit = static_cast<double>(num::global_scale(global_amax, normalization));
  for (int column = 0; column < 16; ++column) {
    const int mantissa = column & 7;
    const double some = (1.0 + mantissa / 8.0) * unit * (column >> 3 ? 2.0 : 1.0);
    // the power of two of that parity which makes this a top code's scale
    const double top = near_below(some, kLargestTopScale), deeper = near_below(some, kLargestDeeperScale);
    for (int k = 0; k < kRungs; ++k) {
      const double scale = top * rung_value(mantissa, k);
      inverse[k][column] = inverse_of(scale, 13);
      square[k][column] = static_cast<float>(scale * scale * 0x1p-24);
    }
    for (int k = 0; k < kDeeperRungs; ++k) {
      const double scale = deeper * rung_value(mantissa, k);
      deeper_inverse[k][column] = inverse_of(scale, 11);
      deeper_square[k][column] = static_cast<float>(scale * scale * 0x1p-20);
    }
  }
  low_inverse = static_cast<float>(0x1p13 * 0x1p9 / (static_cast<double>(unit_scale) * kShrink));
  for (int e = -8; e < 8; ++e) {  // maxima at the end lie between 1/4 and 4
    for (int k = 0; k < kEndRungs; ++k) {
      const double scale = std::ldexp(num::e4m3_magnitude(num::kE4m3Count - k) * unit, -e);
      const int column = e & 15;
      end_inverse[k][column] = inverse_of(scale, 12);
      end_scale[k][column] = end_inverse[k][column] != 0 ? static_cast<float>(scale * 0x1p-11) : 0.0f;
    }
  }
}

}  // namespace nvfp4cal::cpu
