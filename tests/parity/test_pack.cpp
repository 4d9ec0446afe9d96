// Packing and decoding of every target against the scalar kernels, where they could differ: quotients at and beside the boundaries between
// two codes, all scale codes, all output types.
#include <cstring>

#include "parity/pack_inputs.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

void check_nibbles(Random& random, const PackSetting& setting) {
  const auto& [s2, codes] = setting;
  for (const int block : {16, 32}) {
    std::vector<float> values = near_boundaries(random, codes, s2, block);
    for (float& value : values) value = num::is_finite(value) ? value : 1.0f;
    for (const Dtype dtype : kKernelDtypes) {
      if (dtype == Dtype::kF16) {
        for (float& value : values) value = num::abs_of(value) < 60000.0f ? value : 1.0f;
      }
      const TypedBlocks x = as_dtype(values, dtype, static_cast<size_t>(random.below(4)));
      std::vector<uint8_t> wanted(values.size() / 2);
      pack_with(cpu::scalar_kernels(), s2, {dtype, x.data()}, block, codes, wanted.data());
      for_each_target([&, d = dtype, size = block](const cpu::Kernels& kernels) {
        INFO(dtype_name(d) << ", blocks of " << size << ", s2 " << setting.s2);
        std::vector<uint8_t> packed(wanted.size(), 0xEE);
        pack_with(kernels, setting.s2, {d, x.data()}, size, setting.codes, packed.data());
        CHECK(packed == wanted);
      });
    }
  }
}

}  // namespace

TEST_CASE("nibbles beside boundaries are those of the quotient", "[parity]") {
  Random random(51);
  for (int round = 0; round < 60; ++round) check_nibbles(random, PackSetting(random, round));
  for_each_power(random, [&](const PackSetting& setting) { check_nibbles(random, setting); });
}

TEST_CASE("codes of maxima are num::max_code", "[parity]") {
  Random random(52);
  for (const float amax : hard_amaxes()) {
    for (const int block : {16, 32}) {
      const cpu::SweepPlan plan(amax, block, random.chance(0.5) ? 448.0f : 256.0f);
      for (const Dtype dtype : kKernelDtypes) {
        std::vector<float> values;
        std::vector<uint8_t> wanted;
        for (int b = 0; b < 203; ++b) {
          // maxima over all codes and beyond both ends, some midway between two codes
          double m = static_cast<double>(amax) * std::exp2(random.uniform(-22, 3));
          if (random.chance(0.3)) {
            const int code = static_cast<int>(random.below(126));
            m = static_cast<double>(amax) / static_cast<double>(plan.normalization) * (e4m3_value_of(code) + e4m3_value_of(code + 1)) / 2;
          }
          if (random.chance(0.1)) m = 0;
          for (int i = 0; i < block; ++i)
            values.push_back(static_cast<float>((random.chance(0.5) ? -1 : 1) * std::fmin(m, 3e38) * random.uniform(0, 1)));
          values[values.size() - static_cast<size_t>(1 + random.below(block))] = static_cast<float>(std::fmin(m, 3e38));
        }
        if (dtype == Dtype::kF16) {
          for (float& value : values) value = std::fmin(std::fmax(value, -60000.0f), 60000.0f);
        }
        const TypedBlocks x = as_dtype(values, dtype);
        for (size_t b = 0; b < 203; ++b) {
          float m = 0;
          for (int i = 0; i < block; ++i) m = std::fmax(m, std::fabs(x.values[b * static_cast<size_t>(block) + static_cast<size_t>(i)]));
          wanted.push_back(num::max_code(m * plan.prescale * plan.prescale2, plan.global_scale));
        }
        for_each_target([&](const cpu::Kernels& kernels) {
          INFO(dtype_name(dtype) << ", blocks of " << block << ", G " << amax);
          std::vector<uint8_t> codes(203, 0xEE);
          kernels.max_codes(plan, {dtype, x.data()}, 203, codes.data());
          CHECK(codes == wanted);
        });
      }
    }
  }
}

TEST_CASE("scales of all codes, in both orders", "[parity]") {
  std::vector<uint8_t> codes;
  for (int code = 0; code < 256; ++code) {
    if ((code & 127) != 127) codes.push_back(static_cast<uint8_t>(code));
  }
  for (const float global : {1.0f, 0.0123f, 1e-38f, 3e38f, 0x1p-149f}) {
    for (const DecodeOrder order : {DecodeOrder::kModelopt, DecodeOrder::kCompressedTensors}) {
      std::vector<float> wanted;
      for (const uint8_t code : codes) {
        const float value = static_cast<float>(code < 128 ? e4m3_value_of(code) : -e4m3_value_of(code - 128));
        wanted.push_back(order == DecodeOrder::kModelopt ? value * global : value / global);
      }
      for_each_target([&](const cpu::Kernels& kernels) {
        std::vector<float> scales(codes.size() + 1, -7.0f);
        kernels.block_scales(codes.data(), static_cast<int64_t>(codes.size()), order, global, scales.data());
        CHECK(scales.back() == -7.0f);
        CHECK(std::memcmp(scales.data(), wanted.data(), wanted.size() * sizeof(float)) == 0);
      });
    }
  }
}

TEST_CASE("values decoded to half types are rounded to nearest even", "[parity]") {
  Random random(53);
  constexpr int64_t kBlocks = 4099;
  std::vector<uint8_t> packed(kBlocks * 8);
  for (uint8_t& byte : packed) byte = static_cast<uint8_t>(random.next());
  std::vector<float> scales(kBlocks);
  // all sizes; few bits, so that midpoints occur; beyond the largest half and below the smallest
  for (size_t i = 0; i < scales.size(); ++i) {
    // every second group of blocks has ordinary scales alone
    const bool ordinary = i / 32 % 2 == 0;
    const double mantissa = random.chance(0.5) ? 1.0 + static_cast<double>(random.below(1 << 12)) / (1 << 12) : random.uniform(1, 2);
    const double exponent = ordinary ? random.uniform(-13, 11) : random.chance(0.5) ? random.uniform(-30, 18) : random.uniform(-149, 120);
    scales[i] = static_cast<float>(mantissa * std::exp2(exponent));
  }
  for (const auto& [dtype, block] : {std::pair{Dtype::kBf16, 16}, {Dtype::kF16, 16}, {Dtype::kBf16, 32}, {Dtype::kF16, 32}}) {
    const int64_t blocks = kBlocks * 16 / block;
    std::vector<uint16_t> wanted;
    for (int64_t i = 0; i < blocks * block; ++i) {
      const int code = packed[static_cast<size_t>(i / 2)] >> (i % 2 * 4) & 15;
      const float level = static_cast<float>(code & 8 ? -kLevels[code & 7] : kLevels[code & 7]);
      const float value = level * scales[static_cast<size_t>(i / block)];
      wanted.push_back(dtype == Dtype::kBf16 ? num::f32_to_bf16(value) : num::f32_to_f16(value));
    }
    for_each_target([&, d = dtype, size = block](const cpu::Kernels& kernels) {
      INFO(dtype_name(d) << ", blocks of " << size);
      std::vector<uint16_t> decoded(wanted.size(), 0xEEEE);
      kernels.decode(packed.data(), size, blocks, scales.data(), {d, decoded.data()});
      CHECK(decoded == wanted);
    });
  }
}
