// E2M1, E4M3, bfloat16 and float16 against the golden casts, exhaustive search and an independent rounding in float64.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "num/bits.h"
#include "num/e2m1.h"
#include "num/e4m3.h"
#include "num/half.h"
#include "support/blocks.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/oracle.h"

using namespace nvfp4cal;
using test::Random;

namespace {

// Counts disagreements and keeps the first one's input.
struct Tally {
  int64_t checked = 0, wrong = 0;
  uint32_t first = 0;

  void add(bool good, uint32_t input) {
    ++checked;
    if (!good && wrong++ == 0) first = input;
  }
};

#define CHECK_TALLY(tally, at_least)                                        \
  do {                                                                      \
    INFO("first wrong input: 0x" << std::hex << (tally).first << std::dec); \
    CHECK((tally).wrong == 0);                                              \
    CHECK((tally).checked >= (at_least));                                   \
  } while (false)

float step(float x, int ulps) { return num::from_bits(static_cast<uint32_t>(static_cast<int64_t>(num::bits_of(x)) + ulps)); }

// A binary float format with p bits of precision, smallest exponent e_min (of the leading bit) and largest finite value:
// nearest even by exact scaling in float64.
double round_to_format(double x, int precision, int smallest_exponent, double largest) {
  if (x == 0 || !std::isfinite(x)) return x;
  const int exponent = std::max(std::ilogb(x), smallest_exponent);
  const double unit = std::ldexp(1.0, exponent - (precision - 1));
  const double rounded = std::nearbyint(x / unit) * unit;
  return std::fabs(rounded) > largest ? std::copysign(std::numeric_limits<double>::infinity(), x) : rounded;
}

double half_value(uint16_t h, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = h >> mantissa_bits & ((1 << exponent_bits) - 1), mantissa = h & ((1 << mantissa_bits) - 1);
  const double sign = h >> 15 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1)
    return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

// float32 values that rounding to a shorter format finds hard: every short value, the middles between neighbours, a step aside; all exponents.
std::vector<float> hard_values(bool f16) {
  std::vector<float> values;
  for (uint32_t h = 0; h < 0x8000; ++h) {
    const uint32_t low = num::bits_of(f16 ? static_cast<float>(half_value(static_cast<uint16_t>(h), 5)) : num::from_bits(h << 16));
    const uint32_t high =
        num::bits_of(f16 ? static_cast<float>(half_value(static_cast<uint16_t>(h + 1), 5)) : num::from_bits((h + 1) << 16));
    if (low >= num::kInfBits) break;
    const uint32_t middle = low + (std::min(high, num::kInfBits) - low) / 2;
    for (const uint32_t bits : {low, low + 1, middle - 1, middle, middle + 1, high - 1}) {
      if (bits < num::kInfBits) values.push_back(num::from_bits(bits));
    }
  }
  Random random(11);
  for (int i = 0; i < 300000; ++i) values.push_back(num::from_bits(static_cast<uint32_t>(random.next() >> 33) % num::kInfBits));
  // around the subnormals, the largest finite value and beyond
  for (const double x : {0x1p-149, 0x1p-126, 0x1p-25, 0x1p-24, 0x1p-14, 65503.0, 65504.0, 65519.99, 65520.0, 65536.0, 0x1.fep127,
                         0x1.ff7fffp127, 0x1.ff8p127, 0x1.fffffep127}) {
    for (int ulps = -2; ulps <= 2; ++ulps) {
      const float value = step(static_cast<float>(x), ulps);
      if (num::is_finite(value) && value >= 0) values.push_back(value);
    }
  }
  return values;
}

}  // namespace

TEST_CASE("every bfloat16 and float16 pattern rounds to E2M1 and E4M3 as in the golden casts", "[num][golden]") {
  const test::GoldenFamily casts("casts");
  for (const auto& one : casts.cases()) {
    const std::string name = one.at("name");
    const auto e2m1 = casts.expected(one, "e2m1").as<uint8_t>(), e4m3 = casts.expected(one, "e4m3").as<uint8_t>(),
               ties_down = casts.expected(one, "e2m1_ties_down").as<uint8_t>();
    std::vector<float> x;
    if (name == "f32_sweep") x = casts.input(one, "x").floats();
    for (uint32_t h = 0; name != "f32_sweep" && h < 65536; ++h) {
      const uint16_t pattern = static_cast<uint16_t>(h);
      x.push_back(name == "all_bf16" ? num::bf16_to_f32(pattern) : num::f16_to_f32(pattern));
    }
    REQUIRE(x.size() == e2m1.size());
    Tally tally2, tally2_down, tally4;
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i])) continue;  // no expectation
      tally2.add(num::e2m1_code(x[i]) == e2m1[i], static_cast<uint32_t>(i));
      tally2_down.add(num::e2m1_code_ties_down(x[i]) == ties_down[i], static_cast<uint32_t>(i));
      tally4.add(num::e4m3_code(x[i]) == e4m3[i], static_cast<uint32_t>(i));
    }
    INFO(name);
    CHECK_TALLY(tally2, 5000);
    CHECK_TALLY(tally2_down, 5000);
    CHECK_TALLY(tally4, 5000);
  }
}

TEST_CASE("E2M1 levels, boundaries and their neighbours", "[num]") {
  Tally tally;
  const auto check = [&](float y) {
    const double level = test::e2m1_level_of(static_cast<double>(y));
    tally.add(static_cast<double>(num::e2m1_round(y)) == level, num::bits_of(y));
    tally.add(num::bits_of(num::e2m1_round_no_nan(y)) == num::bits_of(num::e2m1_round(y)), num::bits_of(y));
    const uint8_t code = num::e2m1_code(y);
    tally.add(code < 8 && static_cast<double>(num::e2m1_value(code)) == level, num::bits_of(y));
    tally.add(y == 0 || num::e2m1_code(-y) == (code | 8), num::bits_of(y));
  };
  for (const float y : {0.25f, 0.5f, 0.75f, 1.0f, 1.25f, 1.5f, 1.75f, 2.0f, 2.5f, 3.0f, 3.5f, 4.0f, 5.0f, 6.0f, 7.0f, 8.0f}) {
    for (int ulps = -3; ulps <= 3; ++ulps) check(step(y, ulps));
  }
  for (const float y : {0.0f, 0x1p-149f, 0x1p-126f, 1e30f, 3.4e38f}) check(y);
  Random random(3);
  for (int i = 0; i < 400000; ++i) check(static_cast<float>(random.uniform(0, 7)));
  CHECK_TALLY(tally, 1200000);
  CHECK(num::e2m1_round(std::numeric_limits<float>::infinity()) == 6.0f);
  CHECK(num::e2m1_code(-0.0f) == 0);
  CHECK(num::e2m1_code(-0x1p-149f) == 8);
  CHECK(num::e2m1_code(std::numeric_limits<float>::quiet_NaN()) == 0);
  CHECK(std::signbit(num::e2m1_value(8)));
}

TEST_CASE("E4M3 values, boundaries and their neighbours", "[num]") {
  Tally tally;
  const auto check = [&](float y) {
    const int code = test::nearest_e4m3(static_cast<double>(y));
    tally.add(num::e4m3_code_of_magnitude(y) == code, num::bits_of(y));
    tally.add(num::e4m3_code(y) == code && num::e4m3_code(-y) == (code | 0x80), num::bits_of(y));
  };
  for (int code = 0; code <= test::kCodes; ++code) {
    const double value = test::e4m3_value_of(code), next = code < test::kCodes ? test::e4m3_value_of(code + 1) : 464.0;
    CHECK(static_cast<double>(num::e4m3_magnitude(code)) == value);
    CHECK(static_cast<double>(num::e4m3_value(static_cast<uint8_t>(code | 0x80))) == -value);
    for (int ulps = code == 0 ? 0 : -2; ulps <= 2; ++ulps) check(step(static_cast<float>(value), ulps));
    for (int ulps = -2; ulps <= 2; ++ulps) check(step(static_cast<float>((value + next) / 2), ulps));
  }
  for (const float y : {0x1p-149f, 0x1p-30f, 464.0f, 480.0f, 1e10f, 3.4e38f}) check(y);
  Random random(4);
  for (int i = 0; i < 40000; ++i) check(static_cast<float>(std::exp2(random.uniform(-12, 9.5))));
  CHECK_TALLY(tally, 80000);
  CHECK(num::e4m3_code(std::numeric_limits<float>::infinity()) == 126);
  CHECK(num::e4m3_code(std::numeric_limits<float>::quiet_NaN()) == 0x7F);
  CHECK(num::e4m3_code(-0.0f) == 0x80);
  CHECK(std::isnan(num::e4m3_value(0x7F)));
  CHECK(std::isnan(num::e4m3_value(0xFF)));
}

TEST_CASE("the largest E4M3 code not above a value", "[num]") {
  Tally tally;
  const auto check = [&](float y) {
    int code = 1;
    while (code < test::kCodes && test::e4m3_value_of(code + 1) <= static_cast<double>(y)) ++code;
    tally.add(num::e4m3_floor_code(y) == code, num::bits_of(y));
  };
  for (int code = 1; code <= test::kCodes; ++code) {
    for (int ulps = -2; ulps <= 2; ++ulps) check(step(static_cast<float>(test::e4m3_value_of(code)), ulps));
  }
  for (const float y : {0.0f, 0x1p-149f, 1e30f, std::numeric_limits<float>::infinity()}) check(y);
  Random random(5);
  for (int i = 0; i < 40000; ++i) check(static_cast<float>(std::exp2(random.uniform(-14, 10))));
  CHECK_TALLY(tally, 40600);
}

TEST_CASE("bfloat16 and float16 patterns are the float32 values that their bits say", "[num]") {
  Tally bf16, f16;
  for (uint32_t h = 0; h < 65536; ++h) {
    const uint16_t pattern = static_cast<uint16_t>(h);
    const double wide8 = half_value(pattern, 8), wide5 = half_value(pattern, 5);
    const float from_bf16 = num::bf16_to_f32(pattern), from_f16 = num::f16_to_f32(pattern);
    const auto same = [](float x, double y) {
      return std::isnan(y) ? std::isnan(x) : static_cast<double>(x) == y && std::signbit(x) == std::signbit(y);
    };
    bf16.add(same(from_bf16, wide8), h);
    f16.add(same(from_f16, wide5), h);
    // and back: the same bits, a NaN stays one
    bf16.add(std::isnan(from_bf16) ? std::isnan(half_value(num::f32_to_bf16(from_bf16), 8)) : num::f32_to_bf16(from_bf16) == pattern, h);
    f16.add(std::isnan(from_f16) ? std::isnan(half_value(num::f32_to_f16(from_f16), 5)) : num::f32_to_f16(from_f16) == pattern, h);
  }
  CHECK_TALLY(bf16, 131072);
  CHECK_TALLY(f16, 131072);
}

TEST_CASE("float32 rounds to bfloat16 and float16 as in float64 arithmetic", "[num]") {
  Tally bf16, f16;
  for (const bool half : {false, true}) {
    Tally& tally = half ? f16 : bf16;
    for (const float magnitude : hard_values(half)) {
      for (const float x : {magnitude, -magnitude}) {
        const uint16_t got = half ? num::f32_to_f16(x) : num::f32_to_bf16(x);
        const double want =
            half ? round_to_format(static_cast<double>(x), 11, -14, 65504.0) : round_to_format(static_cast<double>(x), 8, -126, 0x1.fep127);
        const double value = half_value(got, half ? 5 : 8);
        tally.add(value == want && std::signbit(value) == std::signbit(want), num::bits_of(x));
      }
    }
  }
  CHECK_TALLY(bf16, 900000);
  CHECK_TALLY(f16, 700000);
  Tally nan;
  for (uint32_t mantissa = 1; mantissa < (1u << 23); mantissa = mantissa * 2 + (mantissa & 1)) {
    for (const uint32_t sign : {0u, 1u << 31}) {
      const float x = num::from_bits(sign | num::kInfBits | mantissa);
      nan.add(std::isnan(half_value(num::f32_to_bf16(x), 8)) && std::isnan(half_value(num::f32_to_f16(x), 5)), num::bits_of(x));
    }
  }
  CHECK_TALLY(nan, 40);
}

TEST_CASE("exponents of float32 numbers, subnormal ones too", "[num]") {
  Tally tally;
  for (int e = -149; e <= 127; ++e) {
    const float power = std::ldexp(1.0f, e);
    for (const float x :
         {power, std::nextafterf(power, 0.0f), std::nextafterf(power, std::numeric_limits<float>::infinity()), power * 1.75f}) {
      if (x == 0.0f || !num::is_finite(x)) continue;
      tally.add(num::exponent_of(x) == std::ilogb(x), num::bits_of(x));
      tally.add(num::exponent_of(-x) == std::ilogb(x), num::bits_of(x));
    }
    if (e >= -126) tally.add(num::pow2(e) == power, num::bits_of(power));
  }
  CHECK_TALLY(tally, 2400);
}
