// power against the C library's pow in long double.
#include <cmath>
#include <limits>
#include <random>

#include "num/power.h"
#include "support/catch.h"

using nvfp4cal::num::power;

TEST_CASE("powers agree with the C library to 2^-42", "[num]") {
  std::mt19937_64 engine(7);
  double worst = 0.0;
  for (const double p : {0.1, 0.5, 1.0, 1.5, 2.0, 2.4, 3.0, 7.3, 16.0, 64.0}) {
    for (int i = 0; i < 20000; ++i) {
      const double x = std::ldexp(1.0 + static_cast<double>(engine() >> 12) * 0x1p-52, static_cast<int>(engine() % 120) - 60);
      const long double exact = std::pow(static_cast<long double>(x), static_cast<long double>(p));
      if (exact > 1e307L || exact < 1e-307L) continue;
      worst = std::max(worst, static_cast<double>(std::fabs((static_cast<long double>(power(x, p)) - exact) / exact)));
    }
  }
  CHECK(worst < 0x1p-42);
}

TEST_CASE("powers of zero, one and beyond the range", "[num]") {
  CHECK(power(0.0, 2.4) == 0.0);
  CHECK(power(1.0, 2.4) == 1.0);
  CHECK(power(0x1p-149, 16.0) == 0.0);
  CHECK(std::isinf(power(1e38, 16.0)));
  CHECK(std::isinf(power(std::numeric_limits<double>::infinity(), 0.1)));
  CHECK(std::isnan(power(std::numeric_limits<double>::quiet_NaN(), 2.4)));
  for (int e = -60; e <= 60; ++e) CHECK(std::fabs(power(std::ldexp(1.0, e), 2.4) / std::exp2(2.4 * e) - 1.0) < 0x1p-46);
}
