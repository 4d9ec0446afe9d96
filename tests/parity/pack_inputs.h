// Elements at and beside the boundaries between two codes, for tests of packing and fake quantization.
#pragma once

#include <cmath>
#include <vector>

#include "parity/sweep_run.h"
#include "support/catch.h"

namespace nvfp4cal::test {

inline constexpr Dtype kKernelDtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF16};

// Kernels::pack of blocks with these codes and global scale.
inline void pack_with(const cpu::Kernels& kernels, float s2, cpu::Span x, int block, const std::vector<uint8_t>& codes, uint8_t* packed) {
  cpu::LevelPlan plan;
  kernels.level_plan(x.dtype, s2, cpu::LevelUse::kPack, &plan);
  kernels.pack(plan, x, block, static_cast<int64_t>(codes.size()), codes.data(), packed);
}

template <class Body>
void for_each_target(Body&& body) {
  for (int target = 0; target < cpu_target_count(); ++target) {
    INFO(cpu_target_name(target));
    body(kernels_of_target(target));
  }
}

// Elements whose quotients lie at the boundaries of their block's scale or some float32 (bfloat16, float16) steps beside.
inline std::vector<float> near_boundaries(Random& random, const std::vector<uint8_t>& codes, float s2, int block) {
  constexpr double kBoundaries[] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 0.5, 6.0, 7.0};
  std::vector<float> x;
  for (const uint8_t code : codes) {
    const float scale = static_cast<float>(e4m3_value_of(code)) * s2;
    for (int i = 0; i < block; ++i) {
      float value = static_cast<float>(kBoundaries[random.below(10)] * static_cast<double>(scale));
      const uint32_t step = random.chance(0.5) ? 1 : random.chance(0.5) ? 0x10000 : 0x2000;
      if (value != 0.0f) value = num::from_bits(num::bits_of(value) + step * static_cast<uint32_t>(random.below(5)) - 2 * step);
      if (random.chance(0.02)) value = 0.0f;
      x.push_back(random.chance(0.5) ? -value : value);
    }
  }
  return x;
}

// A global scale and neighbouring or far-off codes: ordinary scales, global scales of bfloat16 maxima (whose ties are exact), scales of which
// quotients underflow.
struct PackSetting {
  float s2;
  std::vector<uint8_t> codes;

  PackSetting(Random& random, int round) : codes(300) {
    const double exponent = round % 6 == 5 ? random.uniform(-150, 100) : random.uniform(-24, 4);
    s2 = static_cast<float>(std::exp2(exponent) * random.uniform(1, 2));
    if (round % 2 == 0) s2 = num::from_bits(num::bits_of(s2) & 0xFFFF0000u) / 2688.0f;
    // all codes side by side, or neighbours: a group's thresholds are found in several ways
    const int64_t width = 1 + random.below(round % 4 == 3 ? 126 : 40), first = 1 + random.below(127 - width);
    for (uint8_t& code : codes) code = static_cast<uint8_t>(first + random.below(width));
  }
};

// body(setting) for the last global scale below every power of two: half a float32 step of a boundary decides there, and is subnormal if scales are small.
template <class Body>
void for_each_power(Random& random, Body&& body) {
  for (int exponent = -148; exponent <= 118; ++exponent) {
    PackSetting setting(random, 3);
    setting.s2 = std::nextafter(std::ldexp(1.0f, exponent), 0.0f);
    setting.codes.resize(80);
    body(setting);
  }
}

}  // namespace nvfp4cal::test
