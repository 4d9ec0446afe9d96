// The search against the float64 exhaustive one, on every kind of block, and the published counterexamples by name.
#include "parity/sweep_run.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

constexpr int kKinds = static_cast<int>(Kind::kCount);

// Codes of the first target, after seeing that all the others say the same.
std::vector<uint8_t> agreed_codes(const Search& search, const TypedBlocks& x) {
  const std::vector<uint8_t> codes = codes_of(kernels_of_target(0), search, x);
  for (int target = 1; target < cpu_target_count(); ++target) {
    INFO(cpu_target_name(target) << " " << setting_text(search.setting));
    CHECK((codes_of(kernels_of_target(target), search, x) == codes));
  }
  for (int target = 0; target < cpu_target_count(); ++target) {
    if (!has_integer_search(kernels_of_target(target), search)) continue;
    INFO(cpu_target_name(target) << " with the integer filter, " << setting_text(search.setting));
    CHECK((integer_codes_of(kernels_of_target(target), search, x) == codes));
  }
  return codes;
}

// Blocks of a kind over several amaxes; dtype by turns.
void run_kind(Kind kind, int block, float normalization, int64_t blocks_per_amax, Verdict& verdict) {
  uint64_t seed = 1000 * static_cast<uint64_t>(kind) + static_cast<uint64_t>(block) + (normalization == 256 ? 7 : 0);
  for (const float amax : hard_amaxes()) {
    const Setting setting{amax, block, normalization};
    BlockMaker maker(setting, ++seed);
    const std::vector<float> x = maker.make(kind, blocks_per_amax);
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
      if (dtype != Dtype::kF32 && seed % 3 != 0) continue;
      const TypedBlocks typed = as_dtype(x, dtype);
      judge(setting, typed.values, nullptr, agreed_codes({setting}, typed), verdict);
    }
  }
}

}  // namespace

TEST_CASE("the search finds the float64 optimum of every kind of block", "[parity][oracle]") {
  int64_t total = 0, of_sixteen = 0;  // the latter see the integer filter too
  for (int k = 0; k < kKinds; ++k) {
    const Kind kind = static_cast<Kind>(k);
    Verdict verdict;
    const int64_t share = kind == Kind::kNearTies ? 300 : 1700;
    run_kind(kind, 16, 448, share, verdict);
    run_kind(kind, 16, 256, share / 4, verdict);
    of_sixteen += verdict.blocks;
    run_kind(kind, 32, 448, share / 8, verdict);
    run_kind(kind, 32, 256, share / 8, verdict);
    INFO(kind_name(kind) << ": " << verdict.blocks << " blocks, " << verdict.other_code << " with another code; " << verdict.first);
    CHECK(verdict.outside == 0);
    total += verdict.blocks;
  }
  CHECK(total >= 1000000);
  CHECK(of_sixteen >= 1000000);
}

TEST_CASE("the weighted search finds the float64 optimum", "[parity][oracle]") {
  Random random(77);
  int64_t total = 0;
  for (int k = 0; k < kKinds; ++k) {
    const Kind kind = static_cast<Kind>(k);
    Verdict verdict;
    for (const int block : {16, 32}) {
      for (const double spread : {0.5, 2.0, 8.0}) {  // of the weights, as a power of e
        const Setting setting{static_cast<float>(std::exp2(random.uniform(-20, 20))), block, block == 32 && spread < 1 ? 256.0f : 448.0f};
        const int64_t blocks = 600;
        BlockMaker maker(setting, 5000 + static_cast<uint64_t>(k));
        const TypedBlocks x = as_dtype(maker.make(kind, blocks), Dtype::kF32);
        std::vector<float> weights(x.values.size());
        for (float& w : weights) w = static_cast<float>(std::exp(random.normal() * spread));
        const std::vector<float> normalized = normalized_weights(weights, block);
        Search search{setting};
        search.normalized_weights = normalized.data();
        search.weight_period = blocks;
        judge(setting, x.values, weights.data(), agreed_codes(search, x), verdict);
      }
    }
    INFO(kind_name(kind) << ": " << verdict.other_code << " with another code; " << verdict.first);
    CHECK(verdict.outside == 0);
    total += verdict.blocks;
  }
  CHECK(total >= 70000);
}

TEST_CASE("published counterexamples to narrower searches", "[parity]") {
  struct Example {
    const char* what;
    std::vector<float> head;  // the rest of the 16 is `crowd`
    float crowd;
    int code;
  };
  // in scaled units: G = 2688
  const Example examples[] = {{"an FP8-subnormal scale, nearest code 2", {}, 0.025229f, 13},
                              {"an FP8-subnormal scale, nearest code 3", {}, 0.038461f, 13},
                              {"near the top, nearest code 126", {2593.0615f, 2172.4128f}, 1958.6492f, 122}};
  for (const Example& example : examples) {
    INFO(example.what);
    std::vector<float> x(16, example.crowd);
    std::copy(example.head.begin(), example.head.end(), x.begin());
    const Setting setting{2688.0f};
    CHECK(Oracle(setting).search(x.data(), nullptr, 1).codes[0] == example.code);
    CHECK(int{agreed_codes({setting}, as_dtype(x, Dtype::kF32)).at(0)} == example.code);
    // the same at every power of two that float32 has room for
    for (const int shift : {-120, -60, -11, 40, 100}) {
      std::vector<float> scaled = x;
      for (float& value : scaled) value = std::ldexp(value, shift);
      const Setting other{std::ldexp(2688.0f, shift)};
      CHECK(int{agreed_codes({other}, as_dtype(scaled, Dtype::kF32)).at(0)} == example.code);
    }
  }
}

TEST_CASE("tables of offsets per mantissa fail where the optimum lies far from the nearest code", "[parity]") {
  // n = 8 with the optimum at 15, and n = 124 with the optimum at 121: found by search, so that both exist in the tests
  for (const auto& [nearest, wanted] : {std::pair{8, 15}, std::pair{124, 121}}) {
    Random random(static_cast<uint64_t>(nearest));
    const Setting setting{2688.0f};
    const Oracle oracle(setting);
    int64_t found = 0;
    for (int attempt = 0; attempt < 2000 && found < 5; ++attempt) {
      std::vector<float> x;
      for (int b = 0; b < 64; ++b) {
        const double m = 6 * e4m3_value_of(nearest) * random.uniform(0.97, 1.03);
        const double second = m * random.uniform(0.6, 1), crowd = m * random.uniform(0.4, 1);
        const int64_t seconds = random.below(15);
        for (int i = 0; i < 16; ++i) x.push_back(static_cast<float>(i == 0 ? m : i <= seconds ? second : crowd));
      }
      const Oracle::Best best = oracle.search(x.data(), nullptr, 64);
      const std::vector<uint8_t> codes = agreed_codes({setting}, as_dtype(x, Dtype::kF32));
      for (size_t b = 0; b < 64; ++b) {
        if (best.codes[b] != wanted || definition_max_code(setting, x.data() + b * 16) != nearest) continue;
        ++found;
        CHECK(int{codes[b]} == wanted);
      }
    }
    INFO("nearest code " << nearest << ", optimum " << wanted);
    CHECK(found >= 3);
  }
}

TEST_CASE("blocks that every code fits equally well", "[parity]") {
  for (const float amax : hard_amaxes()) {
    for (const int block : {16, 32}) {
      const Setting setting{amax, block};
      std::vector<float> x(static_cast<size_t>(block) * 3, -0.0f);
      // a block below a quarter of the smallest scale gives zeros at every code; one far above G clips at every code
      x[static_cast<size_t>(block)] = static_cast<float>(std::ldexp(static_cast<double>(setting.scale(1)) * 0.2, -setting.exponent()));
      x[2 * static_cast<size_t>(block) + 5] = static_cast<float>(std::min(3.4e38, static_cast<double>(amax) * 20));
      const std::vector<uint8_t> codes = agreed_codes({setting}, as_dtype(x, Dtype::kF32));
      CHECK(int{codes.at(0)} == 1);
      CHECK(int{codes.at(1)} == 1);
      if (amax < 1e37f) CHECK(int{codes.at(2)} == 126);
    }
  }
}
