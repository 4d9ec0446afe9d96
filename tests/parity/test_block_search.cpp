// Single-level quantization's kernels on every target: scales against all 126 codes in float64, levels against comparisons with the boundaries.
#include <cmath>
#include <cstdlib>

#include "parity/sweep_run.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

// Scales are E4M3 values to the bit: v / 256 * 1536 / 6.
Setting setting_of(int n) { return {1536.0f, n, 256.0f}; }

// docs/numerics.md 8.
float level_of(float x, float scale) {
  const float y = std::fabs(x) / scale;
  float level = 0.0f;
  const double boundaries[7] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5};
  for (int k = 0; k < 7; ++k) {
    if (static_cast<double>(y) > boundaries[k]) level = static_cast<float>(kLevels[k + 1]);
  }
  return x < 0.0f ? -level : level;
}

double error_of(const float* x, int n, float scale) {
  double sum = 0.0;
  for (int i = 0; i < n; ++i) {
    const double r = static_cast<double>(x[i]) - static_cast<double>(level_of(x[i], scale)) * static_cast<double>(scale);
    sum += r * r;
  }
  return sum;
}

float naive_scale_of(const float* x, int n) {
  float amax = 0.0f;
  for (int i = 0; i < n; ++i) amax = std::max(amax, std::fabs(x[i]));
  const double wanted = static_cast<double>(std::max(amax / 6.0f, 1e-12f));
  int nearest = 0;
  for (int code = 1; code <= kCodes; ++code) {
    const double here = std::fabs(e4m3_value_of(code) - wanted), before = std::fabs(e4m3_value_of(nearest) - wanted);
    if (here < before || (here == before && code % 2 == 0)) nearest = code;
  }
  return static_cast<float>(e4m3_value_of(nearest));
}

float wanted_scale(const float* x, int n, bool search_noise) {
  const float naive = naive_scale_of(x, n);
  double least = error_of(x, n, naive), energy = 0.0;
  for (int i = 0; i < n; ++i) energy += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  if (!search_noise && energy <= least) return naive;
  float chosen = naive;
  for (int code = 1; code <= kCodes; ++code) {
    const float scale = static_cast<float>(e4m3_value_of(code));
    const double error = error_of(x, n, scale);
    if (!(error < least)) continue;
    least = error;
    chosen = scale;
  }
  return chosen;
}

// Blocks for which a scale and its double leave the same error, or nearly.
std::vector<float> double_ties(int n, int64_t blocks, Random& random) {
  std::vector<float> x(static_cast<size_t>(n * blocks));
  const double factors[] = {0.75, 1.75, 0.25, 1.25, 2.5, 3.5, 0.5, 1, 2, 3, 1.5};
  for (int64_t b = 0; b < blocks; ++b) {
    const double v = e4m3_value_of(1 + static_cast<int>(random.below(kCodes)));
    const int64_t kinds = 1 + random.below(10);
    for (int i = 0; i < n; ++i) {
      float value = static_cast<float>(v * factors[random.below(kinds)]);
      for (int64_t step = random.below(3); step > 0; --step) value = std::nextafterf(value, 1e30f);
      x[static_cast<size_t>(b * n + i)] = random.chance(0.5) ? value : -value;
    }
  }
  return x;
}

// The first block whose scale differs from the definition's, or levels that differ, on any target; an empty text if there is none.
std::string difference(const std::vector<float>& x, int n, bool search_noise) {
  const int64_t blocks = static_cast<int64_t>(x.size()) / n;
  std::vector<float> wanted, levels(x.size()), wanted_levels(x.size());
  for (int64_t b = 0; b < blocks; ++b) wanted.push_back(wanted_scale(x.data() + b * n, n, search_noise));
  for (size_t i = 0; i < x.size(); ++i) wanted_levels[i] = level_of(x[i], wanted[i / static_cast<size_t>(n)]);
  for (int target = 0; target < cpu_target_count(); ++target) {
    const cpu::Kernels& kernels = kernels_of_target(target);
    std::vector<float> scales(wanted.size() + 1, -7.0f);
    kernels.optimal_scales(x.data(), n, blocks, search_noise, scales.data());
    if (scales.back() != -7.0f) return std::string(kernels.name) + ": wrote past the end";
    for (int64_t b = 0; b < blocks; ++b) {
      const float scale = scales[static_cast<size_t>(b)];
      if (scale == wanted[static_cast<size_t>(b)]) continue;
      std::ostringstream text;
      text << kernels.name << ": scale " << scale << ", definition " << wanted[static_cast<size_t>(b)] << ", block "
           << block_text(x.data() + b * n, n);
      return text.str();
    }
    kernels.block_levels(x.data(), n, blocks, wanted.data(), levels.data());
    if (blocks > 0 && std::memcmp(levels.data(), wanted_levels.data(), levels.size() * sizeof(float)) != 0)
      return std::string(kernels.name) + ": levels";
  }
  return "";
}

void compare_kinds(int64_t blocks, uint64_t seed) {
  Random random(seed);
  for (const int n : {16, 32}) {
    BlockMaker maker(setting_of(n), seed + static_cast<uint64_t>(n));
    for (int kind = 0; kind < static_cast<int>(Kind::kCount); ++kind) {
      CAPTURE(n, kind_name(static_cast<Kind>(kind)));
      REQUIRE(difference(maker.make(static_cast<Kind>(kind), blocks), n, kind % 2 == 0) == "");
      REQUIRE(difference(maker.make(static_cast<Kind>(kind), blocks / 4 + 1), n, kind % 2 != 0) == "");
    }
    REQUIRE(difference(double_ties(n, 4 * blocks, random), n, false) == "");
  }
}

}  // namespace

// NVFP4CAL_LONG_BLOCKS and NVFP4CAL_LONG_SEED: another number of blocks, others.
TEST_CASE("block searches of every target find the best of all scales", "[parity][block]") {
  const char* const wanted = std::getenv("NVFP4CAL_LONG_BLOCKS");
  const char* const seed = std::getenv("NVFP4CAL_LONG_SEED");
  compare_kinds((wanted ? std::atoll(wanted) : 26000) / 66 + 1, seed ? static_cast<uint64_t>(std::atoll(seed)) : 1);
}

TEST_CASE("blocks of any count and zeros of both signs have their scales and levels", "[parity][block]") {
  Random random(5);
  for (const int n : {16, 32}) {
    for (int64_t blocks = 0; blocks < 40; ++blocks) {
      std::vector<float> x(static_cast<size_t>(n * blocks));
      for (float& value : x) value = random.chance(0.3) ? (random.chance(0.5) ? 0.0f : -0.0f) : static_cast<float>(random.normal());
      REQUIRE(difference(x, n, blocks % 2 == 0) == "");
    }
  }
}

TEST_CASE("levels of blocks of any extent and scale follow the boundaries", "[parity][block]") {
  Random random(6);
  std::vector<float> x(37), levels(38, -7.0f);
  for (float& value : x) value = static_cast<float>(random.normal());
  x[3] = 0.0f;
  x[20] = -0.0f;
  for (const float scale : {0.25f, 0.0f, 1e-30f, INFINITY}) {
    for (int64_t n = 0; n <= 37; ++n) {
      for (int target = 0; target < cpu_target_count(); ++target) {
        std::fill(levels.begin(), levels.end(), -7.0f);
        kernels_of_target(target).block_levels(x.data(), n, 1, &scale, levels.data());
        for (int64_t i = 0; i < n; ++i) {
          const float wanted = level_of(x[static_cast<size_t>(i)], scale);
          REQUIRE(std::memcmp(&levels[static_cast<size_t>(i)], &wanted, sizeof wanted) == 0);
        }
        REQUIRE(levels[static_cast<size_t>(n)] == -7.0f);
      }
    }
  }
}
