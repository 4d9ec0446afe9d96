// The tolerances that docs/numerics.md ("integer filter", 1) gives the quotients of bfloat16, for every mantissa and every place it is moved to.
#include <cstdint>

#include "support/catch.h"

namespace {

// How far floor(u inverse / 2^16) is from the quotient in steps, apart from what rounding the inverse adds. u: what is kept of a mantissa whose
// exponent is `moved` below the maximum's.
struct Extremes {
  double least = 0.0, most = 0.0;
  uint32_t largest = 0;  // quotient

  void add(int mantissa, int moved, bool up, uint32_t inverse) {
    const uint32_t whole = static_cast<uint32_t>(128 + mantissa) << 8;
    const uint32_t u = moved < 16 ? (up ? ((whole - 1) >> moved) + 1 : whole >> moved) : (up ? 1u : 0u);
    const double x = static_cast<double>(whole) / static_cast<double>(uint32_t{1} << moved);
    // inverses are those of magnitudes times 1 - 2^-16
    const double quotient = x * (1.0 - 0x1p-16) * inverse / 65536.0;
    if (quotient >= 32767.0) return;  // 8 or more: no code of the ladder
    largest = (u * inverse) >> 16 > largest ? (u * inverse) >> 16 : largest;
    const double off = static_cast<double>((u * inverse) >> 16) - quotient;
    least = off < least ? off : least;
    most = off > most ? off : most;
  }
};

Extremes over_all(bool up, int first_moved, int last_moved) {
  Extremes found;
  for (int mantissa = 0; mantissa < 128; ++mantissa) {
    for (int moved = first_moved; moved <= last_moved; ++moved) {
      for (uint32_t inverse = 1; inverse < 65536; inverse += 13) found.add(mantissa, moved, up, inverse);
    }
  }
  return found;
}

}  // namespace

TEST_CASE("bfloat16 quotients are as near as the integer filter's tolerances say", "[sweep]") {
  for (const bool up : {false, true}) {
    const Extremes kept = over_all(up, 0, 8);  // all bits
    CHECK(kept.least > -1.0);
    CHECK(kept.most <= 0.5);
    CHECK(kept.most > 0.4);
  }
  const Extremes cut = over_all(false, 9, 20), rounded = over_all(true, 9, 20);
  CHECK(cut.least > -2.0);
  CHECK(cut.least < -1.5);  // more than one step: half the tolerance would not do
  CHECK(cut.most <= 0x1p-9);
  CHECK(cut.largest < 128);  // an eighth of the first boundary between levels: what is cut off makes errors smaller
  CHECK(rounded.least > -1.0);
  CHECK(rounded.most < 1.0 + 0x1p-9);
}
