// What hosts do where devices have an instruction (docs/cuda.md, "Lines that only a device runs"): as PTX describes it, or as plain arithmetic.
#include <cmath>
#include <random>

#include "kernels/load.cuh"
#include "kernels/sweep_table.cuh"
#include "num/e2m1.h"
#include "support/catch.h"

using namespace nvfp4cal;

namespace {

int low_of(uint32_t pair) { return static_cast<int16_t>(pair & 0xFFFF); }
int high_of(uint32_t pair) { return static_cast<int16_t>(pair >> 16); }

// Every magnitude against itself, its neighbours and others, in either half.
template <Dtype dtype>
void compare_maxima(uint32_t infinite, float (*value)(uint16_t)) {
  std::mt19937 engine(5);
  for (uint32_t a = 0; a < infinite; ++a) {
    const uint32_t others[] = {a, a == 0 ? 0 : a - 1, a + 1 == infinite ? a : a + 1, static_cast<uint32_t>(engine() % infinite)};
    for (const uint32_t b : others) {
      const uint32_t c = engine() % infinite, d = engine() % infinite;
      const uint32_t largest = cuda::max_of_pairs<dtype>(a | c << 16, b | d << 16),
                     swapped = cuda::max_of_pairs<dtype>(d | b << 16, c | a << 16);
      const float want = std::fmax(value(static_cast<uint16_t>(a)), value(static_cast<uint16_t>(b)));
      const float beside = std::fmax(value(static_cast<uint16_t>(c)), value(static_cast<uint16_t>(d)));
      REQUIRE(value(static_cast<uint16_t>(largest)) == want);
      REQUIRE(value(static_cast<uint16_t>(largest >> 16)) == beside);
      REQUIRE(value(static_cast<uint16_t>(swapped)) == beside);
      REQUIRE(value(static_cast<uint16_t>(swapped >> 16)) == want);
    }
  }
}

}  // namespace

TEST_CASE("values of codes by their bits are those of the format") {
  for (int code = 0; code < 16; ++code) {
    const float want = num::e2m1_value(static_cast<uint8_t>(code)), have = num::e2m1_value_by_bits(static_cast<uint8_t>(code));
    CHECK(num::bits_of(have) == num::bits_of(want));
  }
}

TEST_CASE("the larger bits of two magnitudes are those of the larger number") {
  compare_maxima<Dtype::kBf16>(0x7F80, num::bf16_to_f32);
  compare_maxima<Dtype::kF16>(0x7C00, num::f16_to_f32);
}

TEST_CASE("pairs have the first number in the lower half") {
  CHECK(cuda::bf16_pair(1.0f, -2.0f) == 0xC0003F80u);
  CHECK(cuda::f16_pair(1.0f, -2.0f) == 0xC0003C00u);
  for (const uint32_t bits : {0x3F808000u, 0x3F818000u, 0x00008001u, 0x7F7FFFFFu, 0x33000001u, 0x477FEFFFu, 0x477FF000u}) {  // ties, ends
    const float x = num::from_bits(bits);
    CHECK(cuda::bf16_pair(x, 0.0f) == num::f32_to_bf16(x));
    CHECK(cuda::f16_pair(0.0f, x) == static_cast<uint32_t>(num::f32_to_f16(x)) << 16);
  }
}

TEST_CASE("halves of words are added, compared and multiplied each for itself") {
  std::mt19937 engine(6);
  for (int i = 0; i < 100000; ++i) {
    const uint32_t a = engine(), b = engine(), c = engine() >> 8;
    const uint32_t larger = cuda::max_halves(a, b);
    REQUIRE((larger & 0xFFFF) == std::max(a & 0xFFFF, b & 0xFFFF));
    REQUIRE(larger >> 16 == std::max(a >> 16, b >> 16));
    // sums that have sixteen bits: kernels add no others
    const uint32_t x = (a & 0x3FFF3FFF) | (a & 0x40004000) << 1, y = (b & 0x3FFF3FFF) | (b & 0x40004000) << 1;
    const uint32_t sum = cuda::add_or_zero(x, y);
    const int low = low_of(x) + low_of(y), high = high_of(x) + high_of(y);
    if (low >= -32768 && low <= 32767) REQUIRE(low_of(sum) == std::max(low, 0));
    if (high >= -32768 && high <= 32767) REQUIRE(high_of(sum) == std::max(high, 0));
    REQUIRE(cuda::add_rows<false>(a, c) == c + (a & 0xFFFF) * 128);
    REQUIRE(cuda::add_rows<true>(a, c) == c + (a >> 16) * 128);
  }
}
