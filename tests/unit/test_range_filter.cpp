// The filter of the observers' search keeps its bound, and powers in lanes are those of num/power.h.
#include <cmath>
#include <vector>

#include "core/backends.h"
#include "cpu/range_filter.h"
#include "cpu/targets.h"
#include "num/power.h"
#include "support/blocks.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::cpu;

namespace {

std::vector<const Kernels*> simd_targets() {
  std::vector<const Kernels*> all;
  for (int target = 0; target < cpu_target_count(); ++target) {
    Execution execution;
    execution.set_cpu_target(target);
    if (kernels_of(execution).range_filter) all.push_back(&kernels_of(execution));
  }
  return all;
}

// How far the filtered sum is off, in units of its bound.
double off(const Kernels& kernels, FakeFormat format, double norm, const std::vector<float>& x, float amax, float scale, float zero_point) {
  int shift = 0;
  if (!filter_shift(-amax, amax, &shift)) return 1e9;
  const int64_t n = static_cast<int64_t>(x.size());
  double about = 0.0, exact = 0.0;
  kernels.range_filter(format, static_cast<float>(norm), shift, x.data(), n, &scale, &zero_point, 1, &about, 1);
  kernels.range_errors(format, norm, x.data(), n, &scale, &zero_point, 1, &exact, 1);
  const double unit = std::pow(std::ldexp(1.0, -shift), norm);
  return std::fabs(about * unit - exact) / (kFilterError * exact + kFilterSlack * unit * static_cast<double>(n));
}

}  // namespace

TEST_CASE("the filter's logarithm and power are good at every mantissa", "[observer][num]") {
  for (const Kernels* kernels : simd_targets()) {
    CAPTURE(kernels->name);
    double worst = 0.0;
    std::vector<float> one(1);
    for (const double norm : {1.001, 2.4, 3.0}) {
      for (uint32_t mantissa = 0; mantissa < 1u << 23; mantissa += 509) {
        // a scale that makes zeros of everything: the error is x itself
        one[0] = num::from_bits((127u << 23) + mantissa);
        worst = std::max(worst, off(*kernels, FakeFormat::kFp4, norm, one, 1.5f, 0x1p30f, 0.0f));
        one[0] *= 0x1p-25f;
        worst = std::max(worst, off(*kernels, FakeFormat::kFp4, norm, one, 1.5f, 0x1p30f, 0.0f));
      }
    }
    INFO("off by " << worst << " of the bound");
    CHECK(worst < 0.5);
    CHECK(worst > 0.001);
  }
}

TEST_CASE("filtered sums keep their bound for all formats, norms, lengths and magnitudes", "[observer][parity]") {
  test::Random random(81);
  for (const Kernels* kernels : simd_targets()) {
    CAPTURE(kernels->name);
    double worst = 0.0;
    for (int round = 0; round < 4000; ++round) {
      const double norm = random.chance(0.3) ? 2.4 : random.uniform(1.0001, 3.0);
      const int64_t lengths[] = {1, 15, 16, 17, 128, 513, 5000};
      std::vector<float> x(static_cast<size_t>(lengths[random.below(round % 50 == 0 ? 7 : 6)]));
      const float magnitude = std::ldexp(1.0f, static_cast<int>(random.below(110)) - 55);
      float amax = 0.0f;
      for (float& value : x) {
        value = magnitude * static_cast<float>(random.chance(0.1) ? 0.0 : random.chance(0.1) ? 1e-20 * random.normal() : random.normal());
        amax = std::max(amax, std::fabs(value));
      }
      if (amax < 0x1p-60f) continue;
      const auto format = static_cast<FakeFormat>(random.below(4));
      const num::RangeRule rule{format, format >= FakeFormat::kFp8 || random.chance(0.5)};
      const num::RangeScale s = num::range_scale(-amax, amax * 0.7f, rule);
      worst = std::max(worst, off(*kernels, format, norm, x, amax, s.scale * static_cast<float>(random.uniform(0.1, 2)), s.zero_point));
    }
    INFO("off by " << worst << " of the bound");
    CHECK(worst < 0.5);
    CHECK(worst > 0.001);
  }
}

TEST_CASE("which norms and ranges are filtered", "[observer]") {
  int shift = 0;
  for (const double norm : {2.4, 1.001, 3.0}) CHECK(filter_takes(norm));
  for (const double norm : {0.1, 1.0, 2.0, 3.001, 16.0}) CHECK(!filter_takes(norm));
  CHECK(filter_shift(-0.3f, 5.0f, &shift));
  CHECK(shift == -2);
  CHECK(filter_shift(-0x1p-60f, 0.0f, &shift));
  CHECK(shift == 60);
  CHECK(!filter_shift(0.0f, 0.0f, &shift));
  CHECK(!filter_shift(-0x1p-61f, 0x1p-61f, &shift));
  CHECK(!filter_shift(-1.0f, 0x1.1p60f, &shift));
}

TEST_CASE("powers in lanes have the bits of scalar ones, for any float32 difference", "[num][parity]") {
  test::Random random(82);
  const float scale = 0x1p120f, zero_point = 0.0f;  // everything becomes zero: the error is |x|^norm
  for (const Kernels* kernels : simd_targets()) {
    CAPTURE(kernels->name);
    int64_t wrong = 0;
    for (const double norm : {0.1, 0.5, 1.0, 1.7, 2.0, 2.4, 7.3, 16.0}) {
      for (int round = 0; round < 20000; ++round) {
        const float x = num::from_bits(static_cast<uint32_t>(random.next()) & 0xF7FFFFFFu);
        if (std::fabs(x) >= 0x1p118f) continue;
        double error = 0.0;
        kernels->range_errors(FakeFormat::kFp4, norm, &x, 1, &scale, &zero_point, 1, &error, 1);
        wrong += error != num::power(std::fabs(static_cast<double>(x)), norm);
      }
    }
    CHECK(wrong == 0);
  }
}
