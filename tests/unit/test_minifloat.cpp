// E5M2 against the golden casts, and branch-free rounding against the codes of each format.
#include <cmath>

#include "num/e2m1.h"
#include "num/e4m3.h"
#include "num/e5m2.h"
#include "num/half.h"
#include "num/minifloat.h"
#include "support/blocks.h"
#include "support/catch.h"
#include "support/golden.h"

using namespace nvfp4cal;

TEST_CASE("E5M2 rounds as in the golden casts", "[num][golden]") {
  const test::GoldenFamily casts("casts");
  for (const auto& one : casts.cases()) {
    const std::string name = one.at("name");
    const auto e5m2 = casts.expected(one, "e5m2").as<uint8_t>();
    std::vector<float> x;
    if (name == "f32_sweep") x = casts.input(one, "x").floats();
    for (uint32_t h = 0; name != "f32_sweep" && h < 65536; ++h) {
      const uint16_t pattern = static_cast<uint16_t>(h);
      x.push_back(name == "all_bf16" ? num::bf16_to_f32(pattern) : num::f16_to_f32(pattern));
    }
    REQUIRE(x.size() == e5m2.size());
    int64_t wrong = 0;
    for (size_t i = 0; i < x.size(); ++i) wrong += !std::isnan(x[i]) && num::e5m2_code(x[i]) != e5m2[i];
    INFO(name);
    CHECK(wrong == 0);
  }
}

TEST_CASE("E5M2 values ascend with their codes and round to themselves", "[num]") {
  CHECK(num::e5m2_value(0) == 0.0f);
  CHECK(num::e5m2_value(1) == 0x1p-16f);
  CHECK(num::e5m2_value(4) == 0x1p-14f);
  CHECK(num::e5m2_value(123) == num::kE5m2Max);
  CHECK(num::e5m2_value(0xBC) == -1.0f);
  CHECK(std::isinf(num::e5m2_value(0x7C)));
  CHECK(std::isnan(num::e5m2_value(0x7D)));
  for (int code = 0; code < 124; ++code) {
    CHECK(num::e5m2_code(num::e5m2_magnitude(code)) == code);
    if (code > 0) CHECK(num::e5m2_magnitude(code) > num::e5m2_magnitude(code - 1));
  }
  CHECK(num::e5m2_code(1e30f) == 123);
  CHECK(num::e5m2_code(std::nanf("")) == 0x7F);
}

TEST_CASE("rounding without branches gives the value of each format's code", "[num]") {
  int64_t wrong = 0, checked = 0;
  const auto check = [&](float x) {
    ++checked;
    if (std::fabs(x) <= 448.0f) wrong += num::e4m3_round(x) != num::e4m3_value(num::e4m3_code(x));
    if (std::fabs(x) <= 57344.0f) wrong += num::e5m2_round(x) != num::e5m2_value(num::e5m2_code(x));
    if (std::fabs(x) <= 6.0f) wrong += std::fabs(num::e2m1_round_signed(x)) != num::e2m1_round(std::fabs(x));
    wrong += std::signbit(num::e2m1_round_signed(x)) != std::signbit(x);
  };
  for (uint32_t bits = 0; bits < 0x47600000; bits += 997) {
    check(num::from_bits(bits));
    check(-num::from_bits(bits));
  }
  for (uint32_t h = 0; h < 0x8000; ++h) {  // all ties of the three formats are bfloat16 or float16 values
    for (const uint32_t bits : {h << 16, num::bits_of(num::f16_to_f32(static_cast<uint16_t>(h)))}) {
      for (const uint32_t near : {bits - 1, bits, bits + 1}) {
        if (near <= num::bits_of(num::kE5m2Max)) check(num::from_bits(near));
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(checked > 1000000);
}
