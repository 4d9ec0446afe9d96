// The table filter of the sweep kernels (bfloat16, blocks of 16) against the CPU's definition.
#include "kernels/sweep_table.cuh"
#include "support/device_sweep.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

constexpr int kThreads = 96;
using Table = cuda::TableSearch<kThreads>;

DeviceResult by_table(const DeviceCase& c, uint32_t ctas) { return run_search<Table, kThreads>(c, ctas); }

DeviceCase bf16_case(float g, const std::vector<float>& x, float normalization = 448.0f) {
  DeviceCase c;
  c.normalization = normalization;
  c.global_amax = {g};
  c.x = as_dtype(x, Dtype::kBf16);
  return c;
}

// How many blocks of a case the table settles.
int64_t settled(const DeviceCase& c) {
  DeviceResult result;
  const cuda::SweepProblem p = problem_of(c, result);
  const auto shared = std::make_unique<Table::Shared>();
  cuda::HostCta<Table::Lane, kThreads> cta(0, 1);
  Table::build(cta, p, 0, *shared);
  int64_t count = 0;
  for (int64_t b = 0; b < c.blocks(); ++b) count += Table::settle(p, *shared, b, static_cast<int>(b % 32));
  return count;
}

}  // namespace

TEST_CASE("the table filter finds the definition's codes for every kind of block", "[device]") {
  uint64_t seed = 300;
  int64_t blocks = 0;
  std::vector<float> amaxes = hard_amaxes();
  Random random(4);
  for (int i = 0; i < 12; ++i) amaxes.push_back(static_cast<float>(std::exp2(random.uniform(-20, 20))));
  for (const float g : amaxes) {
    ++seed;
    const DeviceCase c = bf16_case(g, all_kinds({g}, seed, 203), seed % 5 == 0 ? 256.0f : 448.0f);
    check_same(c, by_table(c, 1 + static_cast<uint32_t>(seed % 3)));
    blocks += c.blocks();
  }
  CHECK(blocks > 120000);
}

TEST_CASE("the table filter finds the definition's codes for many ordinary blocks", "[device]") {
  Random random(5);
  for (int turn = 0; turn < 12; ++turn) {
    const float g = static_cast<float>(std::exp2(random.uniform(-10, 10)));
    for (const Kind kind : {Kind::kNormal, Kind::kStudent, Kind::kLaplace, Kind::kUniform, Kind::kOwnRange, Kind::kNearTop}) {
      const DeviceCase c = bf16_case(g, BlockMaker({g}, static_cast<uint64_t>(turn)).make(kind, 4000));
      check_same(c, by_table(c, 2));
    }
  }
}

TEST_CASE("the table filter goes through a stack of slices", "[device]") {
  DeviceCase c;
  c.global_amax = {1.0f, 0.0f, 3e-5f, 2688.0f, 7e20f, 1e-38f};
  for (const int64_t per_slice : {1, 33, 500}) {
    std::vector<float> x;
    for (size_t s = 0; s < c.global_amax.size(); ++s) {
      const bool zero = c.global_amax[s] == 0;
      const std::vector<float> more =
          BlockMaker({zero ? 1.0f : c.global_amax[s]}, s + 1).make(zero ? Kind::kZeros : Kind::kNormal, per_slice);
      x.insert(x.end(), more.begin(), more.end());
      if (zero) std::fill(x.end() - per_slice * 16, x.end(), 0.0f);
    }
    c.x = as_dtype(x, Dtype::kBf16);
    for (const uint32_t ctas : {1, 2, 5, 9}) check_same(c, by_table(c, ctas));
  }
}

TEST_CASE("the table filter finds the first element that is not finite", "[device]") {
  Random random(12);
  for (int turn = 0; turn < 30; ++turn) {
    std::vector<float> x = BlockMaker({1.0f}, 6).make(Kind::kNormal, 300);
    DeviceCase c = bf16_case(1.0f, x);
    const int64_t n = static_cast<int64_t>(x.size()), first = random.below(n);
    for (const int64_t at : {first, first + random.below(n - first), n - 1}) {
      const uint16_t bad[4] = {0x7F80, 0xFF80, 0x7FC0, 0xFFFF};
      std::memcpy(c.x.bytes.data() + 2 * at, &bad[random.below(4)], 2);
    }
    CHECK(by_table(c, 3).first_bad == static_cast<unsigned long long>(first));
  }
}

TEST_CASE("rows of the error table are what the page says, and as many as blocks need", "[device]") {
  Random random(8);
  int64_t wrong = 0, deepest = 0;
  for (int turn = 0; turn < 40; ++turn) {
    const float g = static_cast<float>(std::exp2(random.uniform(0, 1)));
    DeviceCase c = bf16_case(g, std::vector<float>(16, 1.0f));
    DeviceResult result;
    const cuda::SweepProblem p = problem_of(c, result);
    const auto shared = std::make_unique<Table::Shared>();
    cuda::HostCta<Table::Lane, kThreads> cta(0, 1);
    Table::build(cta, p, 0, *shared);
    const cuda::ScalePair* const unit = shared->slice.of + num::kE4m3One;
    const int first = shared->scale.first_pattern;  // the amax is in [1, 2)
    wrong += !(num::from_bits(static_cast<uint32_t>(first) << 16) <= 0.125f * unit[0].scale);
    for (int row = 0; row < cuda::ErrorTable::kRows; ++row) {
      const double x = static_cast<double>(num::from_bits(static_cast<uint32_t>(first + row) << 16));
      for (int j = 0; j < 8; ++j) {
        const double y = x / static_cast<double>(unit[j].scale);
        double least = INFINITY;
        for (const double level : kLevels) least = std::min(least, std::fabs(y - level));
        const double wanted = 4095 * std::min(1.0, least * least);
        for (int copy = 0; copy < cuda::ErrorTable::kCopies; ++copy) {
          const uint32_t word = shared->table.rows[row * cuda::ErrorTable::kCopies + copy].word[j / 2];
          wrong += !(std::fabs(static_cast<double>(word >> j % 2 * 16 & 0xFFFF) - wanted) <= 0.51);
        }
      }
    }
    // the largest maximum below each top code's successor
    for (int code = 16; code < num::kE4m3Count; ++code) {
      const double next = e4m3_value_of(code + 1 < 127 ? code + 1 : 126) / 448 * static_cast<double>(g) / 6;
      const float m = num::bf16_to_f32(static_cast<uint16_t>(num::bits_of(static_cast<float>(3.5 * next)) >> 16));
      const int exponent = std::ilogb(e4m3_value_of(code));
      const int64_t row = static_cast<int64_t>(num::bits_of(m) >> 16) - first - 128 * exponent;
      deepest = std::max(deepest, row + cuda::ErrorTable::kOctaveRows);
    }
  }
  CHECK(wrong == 0);
  CHECK(deepest < cuda::ErrorTable::kRows);
  CHECK(deepest >= cuda::ErrorTable::kRows - 32);
}

TEST_CASE("the table settles most blocks", "[device]") {
  const auto share = [](Kind kind) {
    const DeviceCase c = bf16_case(1.0f, BlockMaker({1.0f}, 21).make(kind, 20000));
    return static_cast<double>(settled(c)) / static_cast<double>(c.blocks());
  };
  CHECK(share(Kind::kNormal) > 0.95);
  CHECK(share(Kind::kStudent) > 0.93);
  CHECK(share(Kind::kLaplace) > 0.95);
  CHECK(share(Kind::kUniform) > 0.80);
  CHECK(share(Kind::kNearTop) > 0.60);
}
