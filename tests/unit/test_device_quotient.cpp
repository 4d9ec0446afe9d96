// Quotients of quantizing kernels: never another code than that of the correctly rounded quotient, whatever a device's approximate reciprocal is.
#include <cmath>

#include "kernels/quotient.cuh"
#include "num/scale.h"
#include "support/catch.h"

using namespace nvfp4cal;
using cuda::Reciprocal;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint32_t kStep = 331;
#else
constexpr uint32_t kStep = 1;
#endif

#if defined(__x86_64__)
#define WITH_FMA __attribute__((target("fma")))
#else
#define WITH_FMA
#endif

struct Wrong {
  float divisor = 0.0f, x = 0.0f;
  int off = 0;
};

// Boundaries between levels are 1, 3, .. 7 (E2M1) and 1, 3, .. 31 (E4M3) times powers of two: the first x beside such a multiple of a divisor whose quotient lies on
// another side of the boundary than the correctly rounded one, for reciprocals that are up to two units in the last place off.
WITH_FMA Wrong first_wrong() {
  for (uint32_t mantissa = 0; mantissa < 1u << 23; mantissa += kStep) {
    const float divisor = num::from_bits(127u << 23 | mantissa), nearest = 1.0f / divisor;
    if (!Reciprocal(divisor, nearest).is_ordinary()) continue;
    for (int off = -2; off <= 2; ++off) {
      const Reciprocal reciprocal(divisor, num::from_bits(num::bits_of(nearest) + static_cast<uint32_t>(off)));
      for (int odd = 1; odd < 32; odd += 2) {
        const float boundary = static_cast<float>(odd);
        const uint32_t center = num::bits_of(boundary * divisor);
        for (uint32_t bits = center - 1; bits <= center + 1; ++bits) {
          const float x = num::from_bits(bits), want = x / divisor, have = reciprocal.quotient(x);
          if ((have > boundary) != (want > boundary) || (have < boundary) != (want < boundary)) return {divisor, x, off};
        }
      }
    }
  }
  return {};
}

}  // namespace

TEST_CASE("quotients of kernels lie where correctly rounded ones lie, for every mantissa of a divisor") {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("fma")) {
    WARN("SKIPPED: the processor has no fused multiply-add");
    return;
  }
#endif
  const Wrong wrong = first_wrong();
  INFO(std::hexfloat << wrong.x << " / " << wrong.divisor << ", reciprocal off by " << wrong.off);
  CHECK(wrong.divisor == 0.0f);
}

TEST_CASE("ordinary divisors are those between 2^-90 and 2^90, but for the last number below a power of two") {
  const auto is_ordinary = [](float by) { return Reciprocal(by).is_ordinary(); };
  for (const float by : {0x1p-90f, 0x1.000002p-90f, 1.0f, 0x1.fffffcp0f, 3.0f, 0x1.fffffcp89f}) CHECK(is_ordinary(by));
  for (const float by :
       {0.0f, 0x1p-149f, 0x1.fffffcp-91f, 0x1.fffffep-91f, 0x1.fffffep0f, 0x1.fffffep-20f, 0x1.fffffep89f, 0x1p90f, 0x1p127f, HUGE_VALF}) {
    INFO(std::hexfloat << by);
    CHECK_FALSE(is_ordinary(by));
  }
  // there a step from a reciprocal that is one unit off leaves it so, and another code comes of it
  const float last = 0x1.fffffep0f;
  CHECK(Reciprocal(last, 0.5f).quotient(0.5f) == 0.25f);
  CHECK(0.5f / last > 0.25f);
}

TEST_CASE("magnitudes are rounded to the levels of E2M1, and their codes found, as num does it") {
  const auto check = [](float magnitude) {
    const cuda::Rounded rounded(magnitude);
    return (rounded.code_byte() & 0xFF) == num::e2m1_code(magnitude) &&
           num::bits_of(rounded.level()) == num::bits_of(num::e2m1_round(magnitude));
  };
  for (uint32_t bits = 0; bits <= num::kInfBits; bits += 997) REQUIRE(check(num::from_bits(bits)));
  for (const float center : {0.25f, 0.5f, 0.75f, 1.0f, 1.25f, 1.5f, 1.75f, 2.0f, 2.5f, 3.0f, 3.5f, 4.0f, 5.0f, 6.0f, 7.0f}) {
    for (uint32_t bits = num::bits_of(center) - 9; bits <= num::bits_of(center) + 9; ++bits) REQUIRE(check(num::from_bits(bits)));
  }
  CHECK(check(HUGE_VALF));
  CHECK(cuda::Rounded(NAN).level() == 6.0f);  // a quotient that overflowed
}

TEST_CASE("quotients are rounded to codes of scales, and their values found, as num does it") {
  const auto check = [](float quotient) {
    const cuda::BlockScale scale = cuda::scale_of_quotient(quotient);
    return scale.code == num::clamped_code(quotient) && num::bits_of(scale.value) == num::bits_of(num::e4m3_magnitude(scale.code));
  };
  for (uint32_t bits = num::bits_of(0x1p-30f); bits <= num::bits_of(0x1p20f); bits += 97) REQUIRE(check(num::from_bits(bits)));
  for (int code = 0; code < 126; ++code) {
    const float middle = (num::e4m3_magnitude(code) + num::e4m3_magnitude(code + 1)) * 0.5f;
    for (const float center : {middle, num::e4m3_magnitude(code + 1)}) {
      for (uint32_t bits = num::bits_of(center) - 9; bits <= num::bits_of(center) + 9; ++bits) REQUIRE(check(num::from_bits(bits)));
    }
  }
  CHECK(check(HUGE_VALF));
}

TEST_CASE("negative numbers whose quotients round to zero have no sign") {
  for (const float step :
       {0x1p-90f, 1.0f, 2.0f, 3.0f, 0x1.8p1f, 5.0f, 0x1.fffffcp20f, 0x1.000002p23f, 0x1.000002p24f, 0x1.8p60f, 0x1p89f}) {
    const float lost = cuda::lost_below(step);
    for (uint32_t bits = 0; bits < 1u << 30; bits += bits / 4 + 1) {
      const float x = -num::from_bits(bits);
      INFO(std::hexfloat << x << " / " << step);
      REQUIRE((x < lost) == (x / step < 0.0f));
    }
    for (int near = -3; near <= 3; ++near) {
      const float x = -num::from_bits(num::bits_of(lost < 0.0f ? -lost : 0x1p-147f) + static_cast<uint32_t>(near));
      INFO(std::hexfloat << x << " / " << step);
      REQUIRE((x < lost) == (x / step < 0.0f));
    }
  }
}

TEST_CASE("bytes are picked as PTX describes prmt") {
  CHECK(cuda::pick_bytes(0x33221100u, 0x77665544u, 0x7531) == 0x77553311u);
  CHECK(cuda::pick_bytes(0x33221100u, 0x77665544u, 0x0246) == 0x00224466u);
  CHECK(cuda::pick_bytes(0xFFEEDDCCu, 0x80706050u, 0x0040) == 0xCCCC50CCu);
}
