// Every SIMD target against the scalar kernels, bit for bit: dtypes, odd lengths, alignments, special values.
#include <cstring>
#include <limits>

#include "num/half.h"
#include "parity/pack_inputs.h"
#include "parity/sweep_run.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

constexpr Dtype kDtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF16};

// Numbers of all kinds, mixed within blocks and across: sizes over float16's range, zeros of both signs, denormals, few or no extremes.
std::vector<float> mixed_values(Random& random, int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (float& value : x) {
    const double sign = random.chance(0.5) ? -1 : 1;
    switch (random.below(12)) {
      case 0: value = static_cast<float>(sign * 0.0); break;
      case 1: value = static_cast<float>(sign * std::ldexp(random.uniform(0, 1), -127)); break;  // denormal in float32 and bfloat16
      case 2: value = static_cast<float>(sign * std::ldexp(random.uniform(0, 1), -14)); break;   // denormal in float16
      case 3: value = static_cast<float>(sign * random.uniform(0, 65000)); break;
      case 4: value = static_cast<float>(sign * std::exp2(random.uniform(-126, 15))); break;
      default: value = static_cast<float>(random.normal());
    }
  }
  return x;
}

// Elements of float16 or bfloat16 that fill all of its patterns, finite or not as asked.
TypedBlocks all_patterns(Dtype dtype) {
  std::vector<float> x;
  for (uint32_t h = 0; h < 65536; ++h) {
    const float value = dtype == Dtype::kBf16 ? num::bf16_to_f32(static_cast<uint16_t>(h)) : num::f16_to_f32(static_cast<uint16_t>(h));
    x.push_back(num::is_finite(value) ? value : 1.0f);
  }
  return as_dtype(x, dtype);
}

template <class Body>
void for_each_simd(Body&& body) {
  for (int target = 0; target < cpu_target_count(); ++target) {
    const cpu::Kernels& kernels = kernels_of_target(target);
    if (&kernels == &cpu::scalar_kernels() || std::strcmp(kernels.name, "scalar") == 0) continue;
    INFO(kernels.name);
    body(kernels);
  }
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

constexpr int64_t kMostBlocks = 517;  // beyond every kernel's tiles

// Runs body(kernels, typed, blocks, block) over lengths 1..67 and kMostBlocks, dtypes, block sizes and alignments, for the scalar table and every
// other one; what body returns must be the same bytes.
template <class Body>
void compare_all(Body&& body) {
  const cpu::Kernels& scalar = cpu::scalar_kernels();
  Random random(41);
  for (int64_t length = 1; length <= 68; ++length) {
    const int64_t blocks = length <= 67 ? length : kMostBlocks;
    for (const int block : {16, 32}) {
      const std::vector<float> values = mixed_values(random, blocks * block);
      for (const Dtype dtype : kDtypes) {
        const TypedBlocks x = as_dtype(values, dtype, static_cast<size_t>(random.below(8)));
        const auto wanted = body(scalar, x, blocks, block);
        for_each_simd([&](const cpu::Kernels& kernels) {
          INFO(dtype_name(dtype) << ", " << blocks << " blocks of " << block << ", offset " << x.offset);
          CHECK(same_bytes(body(kernels, x, blocks, block), wanted));
        });
      }
    }
  }
}

}  // namespace

TEST_CASE("targets are listed best first and end with the scalar one", "[parity]") {
  REQUIRE(cpu_target_count() >= 1);
  CHECK(std::string(cpu_target_name(cpu_target_count() - 1)) == "scalar");
  for (int target = 0; target < cpu_target_count(); ++target) CHECK(cpu_target_index(cpu_target_name(target)) == target);
  CHECK(cpu_target_index("no such target") == -1);
}

TEST_CASE("maxima are those of a plain loop", "[parity]") {
  compare_all([](const cpu::Kernels& kernels, const TypedBlocks& x, int64_t blocks, int block) {
    std::vector<uint32_t> out(static_cast<size_t>(blocks), 0xEEEEEEEE);
    kernels.block_max_bits({x.dtype, x.data()}, block, blocks, out.data());
    if (x.dtype != Dtype::kF32) {
      std::vector<uint16_t> numbers(out.size(), 0xEEEE);
      kernels.block_max_numbers({x.dtype, x.data()}, block, blocks, numbers.data());
      for (size_t b = 0; b < numbers.size(); ++b) {
        const float amax = x.dtype == Dtype::kBf16 ? num::bf16_to_f32(numbers[b]) : num::f16_to_f32(numbers[b]);
        CHECK(num::bits_of(amax) == out[b]);
      }
    }
    for (int64_t n = 0; n <= blocks * block && n < 80; ++n) out.push_back(kernels.max_bits({x.dtype, x.data()}, n));
    out.push_back(kernels.max_bits({x.dtype, x.data()}, blocks * block));
    // independent of all kernels: the largest value
    float largest = 0.0f;
    for (const float value : x.values) largest = std::max(largest, std::fabs(value));
    CHECK(num::from_bits(out.back()) == largest);
    return out;
  });
}

TEST_CASE("codes are those of the scalar search", "[parity]") {
  Random random(42);
  compare_all([&](const cpu::Kernels& kernels, const TypedBlocks& x, int64_t blocks, int block) {
    std::vector<uint8_t> all;
    for (const float amax : {4.0f, 0.3f, 60000.0f, 1e-38f}) {
      const std::vector<uint8_t> codes = codes_of(kernels, {Setting{amax, block, blocks % 3 == 0 ? 256.0f : 448.0f}}, x);
      CHECK(static_cast<int64_t>(codes.size()) == blocks);
      all.insert(all.end(), codes.begin(), codes.end());
    }
    return all;
  });
}

TEST_CASE("windowed and weighted codes are those of the scalar search", "[parity]") {
  Random random(43);
  std::vector<float> weights(static_cast<size_t>(kMostBlocks) * 32);
  for (float& w : weights) w = static_cast<float>(std::exp(2 * random.normal()));
  const std::pair<int, int> windows[] = {{-3, 7}, {0, 0}, {-126, 126}, {4, 20}, {-30, -2}};
  compare_all([&](const cpu::Kernels& kernels, const TypedBlocks& x, int64_t blocks, int block) {
    std::vector<uint8_t> all;
    const auto add = [&](const Search& search) {
      const std::vector<uint8_t> codes = codes_of(kernels, search, x);
      all.insert(all.end(), codes.begin(), codes.end());
    };
    const std::vector<float> normalized = normalized_weights(std::vector<float>(weights.begin(), weights.begin() + blocks * block), block);
    Search search{Setting{blocks % 2 ? 5.0f : 0.02f, block}};
    search.has_window = true;
    std::tie(search.lo, search.hi) = windows[blocks % 5];
    add(search);
    search.normalized_weights = normalized.data();
    search.weight_period = blocks;
    add(search);  // both
    search.has_window = false;
    for (const int64_t period : {int64_t{1}, std::max<int64_t>(1, blocks / 3), blocks}) {
      search.weight_period = period;
      add(search);
    }
    return all;
  });
}

TEST_CASE("weights of a block further on are found by the period", "[parity]") {
  Random random(44);
  constexpr int64_t kPeriod = 5, kBlocks = 40;
  const TypedBlocks x = as_dtype(mixed_values(random, kBlocks * 16), Dtype::kF32);
  std::vector<float> row(kPeriod * 16);
  for (float& w : row) w = static_cast<float>(std::exp(2 * random.normal()));
  row = normalized_weights(row, 16);
  cpu::SweepPlan plan(5.0f, 16, 448.0f);
  plan.set_weighted();
  for (int target = 0; target < cpu_target_count(); ++target) {
    const cpu::Kernels& kernels = kernels_of_target(target);
    for (const int64_t first : {int64_t{0}, int64_t{3}, int64_t{1000000000003}}) {
      std::vector<float> unrolled;
      for (int64_t b = 0; b < kBlocks; ++b) {
        const auto at = row.begin() + (first + b) % kPeriod * 16;
        unrolled.insert(unrolled.end(), at, at + 16);
      }
      const cpu::BlockWeights shared{row.data(), first, kPeriod}, full{unrolled.data(), 0, kBlocks};
      std::vector<uint8_t> got(kBlocks), wanted(kBlocks);
      CHECK(kernels.sweep(plan, {x.dtype, x.data()}, kBlocks, &shared, got.data()));
      CHECK(cpu::scalar_kernels().sweep(plan, {x.dtype, x.data()}, kBlocks, &full, wanted.data()));
      CHECK(got == wanted);
    }
  }
}

TEST_CASE("nibbles are those of a division and nearest even", "[parity]") {
  Random random(45);
  const float global_scales[] = {1.0f, 0.01f, 1.5f / 2688.0f, 1e-30f, 0x1p-149f, 0x1p-140f, 1e-37f, 3e38f, 1e36f};
  int turn = 0;
  compare_all([&](const cpu::Kernels& kernels, const TypedBlocks& x, int64_t blocks, int block) {
    const float s2 = global_scales[(blocks + block / 16) % 9];
    std::vector<uint8_t> codes(static_cast<size_t>(blocks)), packed(static_cast<size_t>(blocks * block / 2), 0xEE);
    for (size_t b = 0; b < codes.size(); ++b) codes[b] = static_cast<uint8_t>(1 + (b * 37 + static_cast<size_t>(blocks)) % 126);
    pack_with(kernels, s2, {x.dtype, x.data()}, block, codes, packed.data());
    if (++turn % 16 != 0) return packed;
    // independent of all kernels: numerics.md 1, 2 and 9
    bool right = true;
    for (size_t i = 0; i < x.values.size(); ++i) {
      const float value = static_cast<float>(e4m3_value_of(codes[i / static_cast<size_t>(block)]));
      const float scale = value * s2, y = x.values[i] / scale;
      const double level = std::isnan(y) ? 0.0 : e2m1_level_of(std::fabs(static_cast<double>(y)));
      const int code = static_cast<int>(std::find(kLevels, kLevels + 8, level) - kLevels) + (y < 0 ? 8 : 0);
      right = right && (packed[i / 2] >> (i % 2 * 4) & 15) == code;
    }
    CHECK(right);
    return packed;
  });
}

TEST_CASE("all 16-bit patterns pack alike", "[parity]") {
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16}) {
    const TypedBlocks x = all_patterns(dtype);
    const int64_t blocks = static_cast<int64_t>(x.values.size()) / 16;
    for (const float s2 : {1.0f, 0.37f, 1e-35f, 0x1p-149f}) {
      std::vector<uint8_t> codes(static_cast<size_t>(blocks)), wanted(x.values.size() / 2);
      for (size_t b = 0; b < codes.size(); ++b) codes[b] = static_cast<uint8_t>(1 + b * 5 % 126);
      pack_with(cpu::scalar_kernels(), s2, {dtype, x.data()}, 16, codes, wanted.data());
      for_each_simd([&](const cpu::Kernels& kernels) {
        std::vector<uint8_t> packed(wanted.size());
        pack_with(kernels, s2, {dtype, x.data()}, 16, codes, packed.data());
        CHECK(same_bytes(packed, wanted));
      });
    }
  }
}

TEST_CASE("decoded values and error sums are the scalar kernels' bits", "[parity]") {
  Random random(46);
  compare_all([&](const cpu::Kernels& kernels, const TypedBlocks& x, int64_t blocks, int block) {
    Random mine(static_cast<uint64_t>(blocks * 100 + block));
    std::vector<uint8_t> packed(static_cast<size_t>(blocks * block / 2) + 3);
    for (uint8_t& byte : packed) byte = static_cast<uint8_t>(mine.next());
    std::vector<float> scales(static_cast<size_t>(blocks));
    for (float& scale : scales) scale = static_cast<float>((mine.chance(0.2) ? -1 : 1) * std::exp2(mine.uniform(-140, 100)));
    std::vector<float> decoded(static_cast<size_t>(blocks * block), -7.0f);
    kernels.decode(packed.data() + blocks % 4, block, blocks, scales.data(), {Dtype::kF32, decoded.data()});
    bool right = true;
    for (size_t i = 0; i < decoded.size(); ++i) {
      const int code = packed[static_cast<size_t>(blocks % 4) + i / 2] >> (i % 2 * 4) & 15;
      const float level = static_cast<float>(code & 8 ? -kLevels[code & 7] : kLevels[code & 7]);
      const float want = level * scales[i / static_cast<size_t>(block)];
      right = right && num::bits_of(decoded[i]) == num::bits_of(want);
    }
    CHECK(right);
    // sums continue from what is there
    std::vector<double> sums(32);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = 0.1 * static_cast<double>(i);
    // a scale beside each block's magnitude; the definition is the scalar table's
    for (size_t b = 0; b < scales.size(); ++b) scales[b] = static_cast<float>(std::fabs(x.values[b * static_cast<size_t>(block)]) / 3.0);
    const float factor = blocks % 2 == 0 ? 1.0f : 0x1p-20f;
    kernels.squared_error({{x.dtype, x.data()}, block, blocks, scales.data(), factor}, packed.data(), sums.data());
    std::vector<char> all(decoded.size() * 4 + sums.size() * 8);
    std::memcpy(all.data(), decoded.data(), decoded.size() * 4);
    std::memcpy(all.data() + decoded.size() * 4, sums.data(), sums.size() * 8);
    return all;
  });
}

TEST_CASE("values of codes are looked up as they stand in the table", "[parity]") {
  alignas(64) float values[128];
  for (int i = 0; i < 128; ++i) values[i] = static_cast<float>(i * i) + 0.25f;
  Random random(77);
  for (int target = 0; target < cpu_target_count(); ++target) {
    for (const int64_t n : {0, 1, 3, 15, 16, 17, 31, 128, 517}) {
      std::vector<uint8_t> codes(static_cast<size_t>(n));
      for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(n == 128 ? i : static_cast<size_t>(random.below(128)));
      for (const size_t offset : {0, 1, 4}) {  // in bytes
        std::vector<char> out(static_cast<size_t>(n) * 4 + offset + 4, '#');
        kernels_of_target(target).look_up(codes.data(), n, values, out.data() + offset);
        for (size_t i = 0; i < codes.size(); ++i) {
          float value;
          std::memcpy(&value, out.data() + offset + 4 * i, 4);
          REQUIRE(value == values[codes[i]]);
        }
        CHECK(std::string(out.data(), offset) == std::string(offset, '#'));
        CHECK(std::string(out.end() - 4, out.end()) == "####");
      }
    }
  }
}

TEST_CASE("a value that is not finite is seen wherever it is", "[parity]") {
  Random random(47);
  for (const int64_t blocks : {1, 3, 16, 35}) {
    for (const int block : {16, 32}) {
      const std::vector<float> values = mixed_values(random, blocks * block);
      for (const Dtype dtype : kDtypes) {
        for (int attempt = 0; attempt < 24; ++attempt) {
          TypedBlocks x = as_dtype(values, dtype, static_cast<size_t>(attempt % 4));
          const int64_t at = random.below(blocks * block);
          const uint32_t patterns[] = {0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F810000};
          const uint16_t halves[] = {0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x7C01};
          const uint16_t half = dtype == Dtype::kF16 ? halves[attempt % 5] : static_cast<uint16_t>(patterns[attempt % 5] >> 16);
          char* const to = x.bytes.data() + x.offset + at * static_cast<int64_t>(dtype_size(dtype));
          if (dtype == Dtype::kF32) {
            std::memcpy(to, &patterns[attempt % 5], 4);
          } else {
            std::memcpy(to, &half, 2);
          }
          const float amax = 2.0f;
          const std::vector<float> ones(static_cast<size_t>(blocks * block), 1.0f);
          for (int target = 0; target < cpu_target_count(); ++target) {
            const cpu::Kernels& kernels = kernels_of_target(target);
            INFO(kernels.name << " " << dtype_name(dtype) << " at " << at);
            CHECK(codes_of(kernels, {Setting{amax, block}}, x).empty());
            Search weighted{Setting{amax, block}, ones.data(), 1};
            CHECK(codes_of(kernels, weighted, x).empty());
            CHECK(kernels.max_bits({dtype, x.data()}, blocks * block) >= num::kInfBits);
            std::vector<uint32_t> maxima(static_cast<size_t>(blocks)), wanted(maxima.size());
            kernels.block_max_bits({dtype, x.data()}, block, blocks, maxima.data());
            const TypedBlocks clean = as_dtype(values, dtype);
            cpu::scalar_kernels().block_max_bits({dtype, clean.data()}, block, blocks, wanted.data());
            CHECK(maxima[static_cast<size_t>(at / block)] >= num::kInfBits);
            maxima[static_cast<size_t>(at / block)] = wanted[static_cast<size_t>(at / block)];
            CHECK(maxima == wanted);
          }
        }
      }
    }
  }
}
