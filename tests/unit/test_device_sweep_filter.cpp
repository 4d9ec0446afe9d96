// The float filter of the sweep kernels: codes against the CPU's definition, and what its proof rests on (docs/cuda_sweep.md).
#include <bit>

#include "kernels/sweep_weighted.cuh"
#include "support/device_sweep.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

DeviceResult filtered(const DeviceCase& c, uint32_t ctas) { return run_device<cuda::FilterSearch, cuda::WeightedSearch>(c, ctas); }

double distance_of(double y) {
  double least = INFINITY;
  for (const double level : kLevels) least = std::min(least, std::fabs(y - level));
  return least;
}

// Tables of one slice with this G.
cuda::SliceTables tables_of(float g, int block) {
  DeviceCase c;
  c.block = block;
  c.global_amax = {g};
  DeviceResult result;
  const cuda::SweepProblem p = problem_of(c, result);
  cuda::SliceTables tables;
  cuda::build_tables(p, 0, 0, 1, tables);
  return tables;
}

}  // namespace

TEST_CASE("the float filter finds the definition's codes for every kind of block", "[device]") {
  uint64_t seed = 100;
  int64_t blocks = 0;
  for (int round = 0; round < 3; ++round) {
    for (const float g : hard_amaxes()) {
      DeviceCase c;
      c.block = ++seed % 3 == 0 ? 32 : 16;
      c.normalization = seed % 5 == 0 ? 256.0f : 448.0f;
      c.global_amax = {g};
      const std::vector<float> x = all_kinds({g, c.block, c.normalization}, seed, 101);
      for (const Dtype dtype : kDeviceDtypes) {
        c.x = as_dtype(x, dtype);
        check_same(c, filtered(c, 3));
        blocks += c.blocks();
      }
    }
  }
  CHECK(blocks > 300000);
}

TEST_CASE("the float filter finds the definition's codes with weights", "[device]") {
  uint64_t seed = 200;
  for (const float g : hard_amaxes()) {
    DeviceCase c;
    c.block = ++seed % 3 == 0 ? 32 : 16;
    c.normalization = seed % 5 == 0 ? 256.0f : 448.0f;
    c.global_amax = {g};
    const std::vector<float> x = all_kinds({g, c.block, c.normalization}, seed, 33);
    for (const Dtype dtype : kDeviceDtypes) {
      c.x = as_dtype(x, dtype);
      c.weights = as_dtype(random_weights(seed % 2 ? c.blocks() * c.block : 7 * c.block, seed, 100), Dtype::kF32);
      check_same(c, filtered(c, 2));
      c.weights = as_dtype(std::vector<float>(static_cast<size_t>(c.block), 1.0f), Dtype::kBf16);
      check_same(c, filtered(c, 1));
    }
  }
}

TEST_CASE("the distance to the nearest level has the error of the page", "[device]") {
  int64_t wrong = 0, count = 0;
  Random random(3);
  const auto check = [&](float x, float scale) {
    const float reciprocal = 1.0f / scale;
    const double y = static_cast<double>(x) / static_cast<double>(scale);
    const double most = 3 * 0x1p-24 * std::max(1.0, y) * (1 + 0x1p-20);
    if (y < 7) wrong += !(std::fabs(std::fabs(static_cast<double>(cuda::level_distance<false>(x, reciprocal))) - distance_of(y)) <= most);
    wrong += !(std::fabs(std::fabs(static_cast<double>(cuda::level_distance<true>(x, reciprocal))) - distance_of(y)) <= most);
    ++count;
  };
  for (int turn = 0; turn < 400000; ++turn) {
    const float scale = static_cast<float>(std::exp2(random.uniform(-3, 3)));
    check(static_cast<float>(static_cast<double>(scale) * random.uniform(0, 20)), scale);
    // beside levels and boundaries, and where a binade of z begins
    const double at = static_cast<double>(random.below(33)) / 4;
    const float near = static_cast<float>(static_cast<double>(scale) * at);
    check(num::from_bits(num::bits_of(near) + static_cast<uint32_t>(random.below(9))), scale);
    if (near > 0) check(num::from_bits(num::bits_of(near) - static_cast<uint32_t>(random.below(9))), scale);
    check(static_cast<float>(std::exp2(random.uniform(0, 20))), scale);
  }
  CHECK(count > 1000000);
  CHECK(wrong == 0);
}

TEST_CASE("filtered sums are as near to the definition's as the limit of contenders allows", "[device]") {
  // sqrt(E filter) and sqrt(E definition) differ by half of what contender_limit grants two codes, at most.
  double furthest = 0.0;
  for (const int block : {16, 32}) {
    const Setting setting{1.37f, block};
    const cuda::SliceTables tables = tables_of(setting.global_amax, block);
    std::vector<float> x = all_kinds(setting, 77, 60);
    for (float& value : x) value = std::fabs(value);
    for (size_t at = 0; at < x.size(); at += static_cast<size_t>(block)) {
      const float* const row = x.data() + at;
      const float m = *std::max_element(row, row + block);
      if (m == 0.0f || m > 7.0f) continue;
      for (int code = 1; code <= num::kE4m3Count; code += 3) {
        const cuda::ScalePair s = tables.of[code];
        if (m > 8.95f * s.scale) continue;
        const float wanted = block == 16 ? cuda::exact_error<16>(row, nullptr, s.scale) : cuda::exact_error<32>(row, nullptr, s.scale);
        const float got = block == 16 ? cuda::filtered_error<16, true>(s, row) : cuda::filtered_error<32, true>(s, row);
        const double size = std::max(m, s.scale), root = std::sqrt(static_cast<double>(wanted));
        const double allowed = 3 * 0x1p-24 * std::sqrt(block) * size + 0x1p-17 * root;
        furthest = std::max(furthest, std::fabs(std::sqrt(static_cast<double>(got)) - root) / allowed);
      }
    }
  }
  CHECK(furthest <= 1.0);
  CHECK(furthest > 0.1);  // the page's bound is of the right size
}

TEST_CASE("few blocks of ordinary weights need the definition", "[device]") {
  const Setting setting{1.0f};
  const cuda::SliceTables tables = tables_of(1.0f, 16);
  DeviceCase c;
  DeviceResult result;
  const cuda::SweepProblem p = problem_of(c, result);
  std::vector<float> x = BlockMaker(setting, 9).make(Kind::kNormal, 40000);
  int64_t uncertain = 0;
  for (size_t at = 0; at < x.size(); at += 16) {
    float m = 0.0f;
    for (size_t i = at; i < at + 16; ++i) m = std::max(m, x[i] = std::fabs(x[i]));
    const cuda::CodeLadder ladder = cuda::code_ladder(p, tables, m);
    uncertain += std::popcount(cuda::FilterSearch<16>::contenders(tables, ladder, x.data() + at, m)) != 1;
  }
  CHECK(uncertain < 40);  // 1 in 1,000
}
