// A search for counterexamples, as long as asked for: NVFP4CAL_LONG_BLOCKS blocks (default 2 million: what ctest runs).
// Run with the tag [.long], a number in NVFP4CAL_LONG_SEED for other blocks.
#include "parity/sweep_run.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

// The definition's first disagreement with the first target's codes, or an empty text.
std::string definition_difference(const Setting& setting, const std::vector<float>& x, const std::vector<uint8_t>& codes, size_t every) {
  for (size_t b = 0; b < codes.size(); b += every) {
    const float* const block = x.data() + b * static_cast<size_t>(setting.block);
    const int wanted = definition_code(setting, block, nullptr);
    if (wanted == codes[b]) continue;
    return setting_text(setting) + ": code " + std::to_string(codes[b]) + ", definition " + std::to_string(wanted) + ", block " +
           block_text(block, setting.block);
  }
  return "";
}

// Of the blocks whose error is more than 1e-6 above the best: how many have the definition's code, and an error that its rounding allows (docs/numerics.md 3).
int64_t explained_by_rounding(const Setting& setting, const std::vector<float>& x, const std::vector<uint8_t>& codes) {
  const Oracle oracle(setting);
  const Oracle::Best best = oracle.search(x.data(), nullptr, static_cast<int64_t>(codes.size()));
  const double bound = setting.block == 32 ? 0x1p-17 : 0x1p-18;
  int64_t count = 0;
  for (size_t b = 0; b < codes.size(); ++b) {
    const float* const block = x.data() + b * static_cast<size_t>(setting.block);
    if (oracle.accepts(block, nullptr, codes[b], best.codes[b], best.errors[b])) continue;
    const double error = oracle.error(block, nullptr, codes[b]);
    count += definition_code(setting, block, nullptr) == codes[b] && error <= best.errors[b] * (1 + bound);
  }
  return count;
}

}  // namespace

TEST_CASE("no counterexample among adversarial blocks", "[.long][parity]") {
  const int64_t wanted = number_from("NVFP4CAL_LONG_BLOCKS", 2000000);
  Random random(static_cast<uint64_t>(number_from("NVFP4CAL_LONG_SEED", 1)));
  // rules of the candidate set and rounding boundaries: where a narrower search would fail first
  const Kind kinds[] = {Kind::kUpperRule,  Kind::kUpperRule,   Kind::kUpperRule,     Kind::kLowerRule, Kind::kLowerRule,
                        Kind::kBoundaries, Kind::kThreeValued, Kind::kNearTop,       Kind::kTiny,      Kind::kNearTies,
                        Kind::kFewValued,  Kind::kEqual,       Kind::kScaleCodes1To3};
  constexpr int64_t kBatch = 2000;
  Verdict verdict;
  int64_t rounded = 0;
  std::string difference;
  for (int64_t i = 0; verdict.blocks < wanted; ++i) {
    const Kind kind = kinds[static_cast<size_t>(i) % std::size(kinds)];
    const Dtype dtype = any_dtype(random);
    const int64_t widest = dtype == Dtype::kF16 ? 12 : 124;  // G from tiny to huge
    const float amax =
        static_cast<float>(std::exp2(random.uniform(-1, 1)) * std::exp2(static_cast<double>(random.below(2 * widest) - widest)));
    const Setting setting{amax, random.chance(0.25) ? 32 : 16, random.chance(0.15) ? 256.0f : 448.0f};
    BlockMaker maker(setting, random.next());
    const TypedBlocks x = as_dtype(maker.make(kind, kind == Kind::kNearTies ? kBatch / 10 : kBatch), dtype);
    const Search search{setting};
    const bool integer = has_integer_search(kernels_of_target(0), search);
    const std::vector<uint8_t> codes =
        integer ? integer_codes_of(kernels_of_target(0), setting, x) : codes_of(kernels_of_target(0), search, x);
    REQUIRE(!codes.empty());
    const int64_t outside = verdict.outside;
    judge(setting, x.values, nullptr, codes, verdict);
    if (verdict.outside > outside) rounded += explained_by_rounding(setting, x.values, codes);
    if (difference.empty()) difference = definition_difference(setting, x.values, codes, 16);
    for (int target = 0; target < cpu_target_count(); ++target) {
      const cpu::Kernels& kernels = kernels_of_target(target);
      if (codes_of(kernels, search, x) != codes) FAIL(cpu_target_name(target) << " differs, " << setting_text(setting));
      if (!has_integer_search(kernels, search)) continue;
      if (integer_codes_of(kernels, setting, x) != codes)
        FAIL(cpu_target_name(target) << " differs with the integer filter, " << setting_text(setting));
    }
  }
  WARN(verdict.blocks << " blocks, " << verdict.other_code << " with another code than float64, " << verdict.outside
                      << " of them more than 1e-6 worse; " << verdict.first);
  CHECK(verdict.outside == rounded);
  CHECK(difference == "");
}
