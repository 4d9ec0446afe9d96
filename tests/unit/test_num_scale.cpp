// The two-level scale: every formula of docs/numerics.md 2 operation by operation, and codes back from amaxes.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "num/scale.h"
#include "support/blocks.h"
#include "support/catch.h"

using namespace nvfp4cal;
using test::Random;

namespace {

std::vector<float> amaxes() {
  std::vector<float> all = {1.0f,   0x1.fffffep0f, 2688.0f,         6.0f,  0x1p-126f, 1e-38f,
                            1e-30f, 0x1p-60f,      0x1.fffffep-61f, 1e30f, 0x1p100f,  3.4e38f};
  Random random(81);
  for (int i = 0; i < 3000; ++i)
    all.push_back(static_cast<float>(random.uniform(1, 2) * std::exp2(static_cast<double>(random.below(240) - 115))));
  return all;
}

}  // namespace

TEST_CASE("scales are the stated float32 operations", "[num]") {
  int64_t wrong = 0;
  for (const float amax : amaxes()) {
    for (const float normalization : {448.0f, 256.0f}) {
      const float s2 = amax / (normalization == 448.0f ? 2688.0f : 1536.0f);
      wrong += num::global_scale(amax, normalization) != s2;
      for (int code = 1; code <= test::kCodes; ++code) {
        const float value = static_cast<float>(test::e4m3_value_of(code)), candidate = value / normalization, product = candidate * amax;
        wrong += num::candidate(code, normalization) != candidate;
        wrong += num::block_amax(code, amax, normalization) != product;
        wrong += num::search_scale(code, amax, normalization) != product / 6.0f;
        wrong += num::stored_scale(value, s2) != value * s2;
        wrong += num::stored_scale_reciprocal(value, amax) != value / amax;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("the code of a block amax is the code that made it", "[num]") {
  int64_t wrong = 0, checked = 0;
  for (const float amax : amaxes()) {
    for (const float normalization : {448.0f, 256.0f}) {
      for (int code = 1; code <= test::kCodes; ++code) {
        const float block_amax = num::block_amax(code, amax, normalization);
        if (block_amax < 0x1p-126f || !num::is_finite(block_amax)) continue;  // its last bits are lost
        ++checked;
        wrong += num::code_of_amax(block_amax, amax, normalization) != code;
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(checked > 600000);
}

TEST_CASE("any block amax gives the code of the stated quotient", "[num]") {
  Random random(83);
  int64_t wrong = 0, checked = 0;
  for (const float amax : amaxes()) {
    if (amax < 0x1p-100f || amax > 0x1p100f) continue;  // there the operations leave float32's range
    for (const float normalization : {448.0f, 256.0f}) {
      for (int i = 0; i < 40; ++i) {
        // around the middle between two codes, where the order of the operations decides
        const int code = 1 + static_cast<int>(random.below(test::kCodes - 1));
        const double middle = (test::e4m3_value_of(code) + test::e4m3_value_of(code + 1)) / 2;
        float block_amax = static_cast<float>(static_cast<double>(amax) * middle / static_cast<double>(normalization));
        for (int64_t step = random.below(4); step > 0; --step) block_amax = std::nextafterf(block_amax, random.chance(0.5) ? 0.0f : 1e38f);
        const float sixth = block_amax / 6.0f, product = sixth * normalization, divisor = amax / 6.0f, b = product / divisor;
        ++checked;
        wrong += num::code_of_amax(block_amax, amax, normalization) != test::nearest_e4m3(std::min(static_cast<double>(b), 448.0));
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(checked > 100000);
}

TEST_CASE("the max code is nearest even of the stated quotient", "[num]") {
  Random random(82);
  int64_t wrong = 0;
  for (const float amax : amaxes()) {
    for (int i = 0; i < 30; ++i) {
      const float s2 = amax / 2688.0f;
      // every other one around the middle between two codes, where the order of the operations decides
      const int code = 1 + static_cast<int>(random.below(test::kCodes - 1));
      const double middle = 3.0 * static_cast<double>(s2) * (test::e4m3_value_of(code) + test::e4m3_value_of(code + 1));
      float m = static_cast<float>(i % 2 ? middle : static_cast<double>(amax) * std::exp2(random.uniform(-24, 3)));
      for (int64_t step = random.below(3); step > 0; --step) m = std::nextafterf(m, random.chance(0.5) ? 0.0f : 1e38f);
      if (s2 < 0x1p-126f || !num::is_finite(m) || m == 0.0f) continue;
      const float divisor = 6.0f * s2, b = m / divisor;
      const int wanted = b == 0.0f ? 0x38 : test::nearest_e4m3(std::min(std::max(static_cast<double>(b), 0x1p-9), 448.0));
      wrong += num::max_code(m, s2) != wanted;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("a code is never zero and never NaN", "[num]") {
  CHECK(int{num::clamped_code(0.0f)} == 0x38);
  CHECK(int{num::clamped_code(0x1p-149f)} == 1);
  CHECK(int{num::clamped_code(0x1p-10f)} == 1);
  CHECK(int{num::clamped_code(1e38f)} == 126);
  CHECK(int{num::clamped_code(std::numeric_limits<float>::infinity())} == 126);
  CHECK(int{num::max_code(0.0f, 1.0f)} == 0x38);
  CHECK(int{num::code_of_amax(0.0f, 1.0f, 448.0f)} == 0x38);
  for (const float amax : {0x1p-149f, 1e-40f, 1e-30f, 1.0f, 1e30f, 3.4e38f}) {
    for (const float global : {0x1p-149f, 1e-40f, 1e-30f, 1.0f, 1e30f, 3.4e38f}) {
      const int code = num::code_of_amax(amax, global, 448.0f);
      INFO(amax << " " << global);
      CHECK(code >= 1);
      CHECK(code <= 126);
      // where the ratio is beyond all codes there is one answer
      const double ratio = static_cast<double>(amax) / static_cast<double>(global);
      if (ratio > 2) CHECK(code == 126);
      if (ratio < 1e-7) CHECK((code == 1 || code == 0x38));  // 1.0 where the quotient underflows to 0, as ModelOpt has it
      if (ratio == 1) CHECK(code == 126);
    }
  }
}

TEST_CASE("normalized amaxes lie in [1, 2)", "[num]") {
  for (int exponent = -149; exponent <= 127; ++exponent) {
    for (const float amax :
         {std::ldexp(1.0f, exponent), std::nextafterf(std::ldexp(1.0f, exponent), std::numeric_limits<float>::infinity())}) {
      const double normalized = std::ldexp(static_cast<double>(amax), num::normalizing_exponent(amax));
      CHECK(normalized >= 1.0);
      CHECK(normalized < 2.0);
    }
  }
}
