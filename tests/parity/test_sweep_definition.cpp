// The search against the float32 definition over all 126 codes, bit for bit: plain, windowed and weighted.
#include "parity/sweep_run.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

// The code of a block by docs/numerics.md 3: the float32 minimum over the codes of the search, but for zero blocks and, in a plain search,
// blocks far above G, whose sums float32 cannot tell apart.
int wanted_code(const Search& search, const float* x, const float* weights) {
  const Setting& setting = search.setting;
  double m = 0.0;
  for (int i = 0; i < setting.block; ++i) m = std::max(m, std::fabs(static_cast<double>(x[i])));
  if (m == 0.0) return 1;
  if (!search.has_window && !weights) {
    return m >= 8.0 * (448.0 / setting.normalization) * setting.global_amax ? kCodes : definition_code(setting, x, nullptr);
  }
  if (!search.has_window) return definition_code(setting, x, weights);
  const int n = definition_max_code(setting, x);
  return definition_code(setting, x, weights, std::clamp(n + search.lo, 1, kCodes), std::clamp(n + search.hi, 1, kCodes));
}

// Compares every target's codes with the definition's; returns the number of blocks.
int64_t compare(const Search& search, const TypedBlocks& x, const std::vector<float>& weights, const char* what) {
  const int block = search.setting.block;
  const int64_t blocks = static_cast<int64_t>(x.values.size()) / block;
  std::vector<uint8_t> wanted(static_cast<size_t>(blocks));
  for (int64_t b = 0; b < blocks; ++b) {
    wanted[static_cast<size_t>(b)] =
        static_cast<uint8_t>(wanted_code(search, x.values.data() + b * block, weights.empty() ? nullptr : weights.data() + b * block));
  }
  const auto check = [&](const std::vector<uint8_t>& codes, const char* target, const char* filter) {
    REQUIRE(codes.size() == wanted.size());
    const auto [got, want] = std::mismatch(codes.begin(), codes.end(), wanted.begin());
    if (got == codes.end()) return;
    const int64_t b = got - codes.begin();
    INFO(what << ", " << target << ", " << filter << ", " << setting_text(search.setting) << ", block " << b << ": "
              << block_text(x.values.data() + b * block, block));
    CHECK(int{*got} == int{*want});
  };
  for (int target = 0; target < cpu_target_count(); ++target) {
    const cpu::Kernels& kernels = kernels_of_target(target);
    check(codes_of(kernels, search, x), cpu_target_name(target), "float filter");
    if (has_integer_search(kernels, search)) check(integer_codes_of(kernels, search, x), cpu_target_name(target), "integer filter");
  }
  return blocks;
}

// With a row of weights that serves all blocks in turn.
void compare_weighted(const Setting& setting, const TypedBlocks& x, const std::vector<float>& row, const char* what) {
  const std::vector<float> normalized = normalized_weights(row, setting.block);
  Search search{setting};
  search.normalized_weights = normalized.data();
  search.weight_period = static_cast<int64_t>(row.size()) / setting.block;
  std::vector<float> weights(x.values.size());
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = row[i % row.size()];
  compare(search, x, weights, what);
}

// Weight of a block's first element at which two codes are equally good and none is better, after `steps` such weights from 0 on; 0 if there are not so many.
// A code's error is A + weight * B.
double weight_of_tie(const Setting& setting, const float* x, std::vector<float> weights, int steps) {
  const Oracle oracle(setting);
  double a[kCodes + 1], b[kCodes + 1];
  for (int code = 1; code <= kCodes; ++code) {
    weights[0] = 1.0f;
    const double one = oracle.error(x, weights.data(), code);
    weights[0] = 1e6f;
    b[code] = (oracle.error(x, weights.data(), code) - one) / (1e6 - 1.0);
    a[code] = one - b[code];
  }
  int best = 1;
  for (int code = 2; code <= kCodes; ++code) best = a[code] < a[best] ? code : best;
  double weight = 0.0;
  for (int step = 0; step < steps; ++step) {
    int next = 0;
    double nearest = 0.0;
    for (int code = 1; code <= kCodes; ++code) {
      if (!(b[code] < b[best])) continue;
      const double tie = (a[code] - a[best]) / (b[best] - b[code]);
      if (next == 0 || tie < nearest) next = code, nearest = tie;
    }
    if (next == 0) return 0.0;
    best = next;
    weight = nearest;
  }
  return weight;
}

// Blocks of an element that is larger than all others and counts for little: codes from its own down to a thirtieth of it are the best ones, most of them
// as good as another. How many of the codes lie more than eight below the maximum's own.
int64_t compare_far_below(const Setting& setting, Dtype dtype, int64_t blocks, Random& random) {
  const double amax = static_cast<double>(setting.global_amax);
  int64_t deep = 0;
  std::vector<float> x(static_cast<size_t>(blocks * 16)), weights(x.size());
  for (size_t first = 0; first < x.size(); first += 16) {
    const double largest = amax * std::exp2(random.uniform(-13, 0)), others = largest / std::exp2(random.uniform(0, 5));
    // where all others are equal, so is what their quotients are off by
    const double spread = first % 3 == 0 ? 3.0 : first % 3 == 1 ? 0.5 : 0.0;
    for (size_t i = 0; i < 16; ++i) {
      x[first + i] = static_cast<float>(i == 0 ? largest : spread > 0 ? others * random.uniform(0.3, 1) : others);
      weights[first + i] = static_cast<float>(std::exp(random.normal() * spread));
    }
  }
  const TypedBlocks typed = as_dtype(x, dtype);
  for (size_t first = 0; first < x.size(); first += 16) {
    const float* const block = typed.values.data() + first;
    const auto row = weights.begin() + static_cast<ptrdiff_t>(first);
    const double tie = weight_of_tie(setting, block, {row, row + 16}, static_cast<int>(1 + random.below(4)));
    *row = static_cast<float>(std::clamp(tie * (random.chance(0.5) ? 1.0 : random.uniform(0.999, 1.001)), 1e-12, 1e12));
    deep += definition_code(setting, block, &*row) < definition_max_code(setting, block) - 8;
  }
  compare_weighted(setting, typed, weights, "far below the maximum");
  return deep;
}

// One setting a turn: amax, block, N and dtype all change.
struct Turn {
  Setting setting;
  Dtype dtype;
};

Turn turn(int64_t i) {
  const std::vector<float> amaxes = hard_amaxes();
  const Dtype dtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF32, Dtype::kF16};
  return {{amaxes[static_cast<size_t>(i) % amaxes.size()], i % 3 == 1 ? 32 : 16, i % 5 == 2 ? 256.0f : 448.0f}, dtypes[i % 4]};
}

}  // namespace

TEST_CASE("the search equals the float32 definition over all 126 codes", "[parity]") {
  int64_t total = 0;
  for (int round = 0; round < 36; ++round) {
    for (int k = 0; k < static_cast<int>(Kind::kCount); ++k) {
      const Kind kind = static_cast<Kind>(k);
      const Turn now = turn(round + 7 * k);
      BlockMaker maker(now.setting, 9000 + static_cast<uint64_t>(round * 100 + k));
      const int64_t blocks = kind == Kind::kNearTies ? 150 : 270;
      total += compare({now.setting}, as_dtype(maker.make(kind, blocks), now.dtype), {}, kind_name(kind));
    }
  }
  CHECK(total >= 200000);
}

TEST_CASE("the search equals the definition where kinds of blocks lie side by side", "[parity]") {
  // lanes of one group take different ways, and queues of all kinds fill
  Random random(17);
  for (int round = 0; round < 12; ++round) {
    Turn now = turn(round);
    now.setting.block = 16;
    std::vector<std::vector<float>> kinds;
    for (int k = 0; k < static_cast<int>(Kind::kCount); ++k) {
      BlockMaker maker(now.setting, 15000 + static_cast<uint64_t>(round * 100 + k));
      kinds.push_back(maker.make(static_cast<Kind>(k), 40));
    }
    std::vector<float> x;
    const int64_t likely = random.below(static_cast<int64_t>(kinds.size()));
    for (int b = 0; b < 1500 + round; ++b) {
      const size_t kind = static_cast<size_t>(random.chance(0.4) ? likely : random.below(static_cast<int64_t>(kinds.size())));
      const float* const block = kinds[kind].data() + random.below(40) * 16;
      x.insert(x.end(), block, block + 16);
    }
    compare({now.setting}, as_dtype(x, now.dtype, static_cast<size_t>(round % 3)), {}, "side by side");
  }
}

TEST_CASE("the search does not take a value between two codes for a code", "[parity]") {
  // In units of the smallest scale 7.5 would be the best of all for these blocks, and it is where the ladder of code 16 ends.
  const Setting setting{1.0f};
  const float unit = static_cast<float>(setting.scale(1));
  std::vector<float> x;
  for (int b = 0; b < 64; ++b) {
    x.push_back(unit * (56.02f + 0.01f * static_cast<float>(b)));
    for (int i = 0; i < 15; ++i) x.push_back(unit * (i < 7 ? 45.0f : 3.75f));
  }
  compare({setting}, as_dtype(x, Dtype::kF32), {}, "7.5");
}

TEST_CASE("windowed searches equal the definition over the window", "[parity]") {
  const std::pair<int, int> windows[] = {{-3, 7}, {0, 0}, {-126, 126}, {-8, 8}, {5, 9}, {-9, -4}, {126, 126}, {-126, -126}, {-1, 0}};
  int64_t i = 0;
  for (const auto& [lo, hi] : windows) {
    for (int k = 0; k < static_cast<int>(Kind::kCount); ++k) {
      const Kind kind = static_cast<Kind>(k);
      const Turn now = turn(++i);
      BlockMaker maker(now.setting, 20000 + static_cast<uint64_t>(i));
      Search search{now.setting};
      search.has_window = true;
      search.lo = lo;
      search.hi = hi;
      std::vector<float> x = maker.make(kind, 70);
      // beyond 2^60 G errors have no float32 value: only the largest code of the window is sensible
      const float limit = static_cast<float>(std::min(3.4e38, 1e15 * static_cast<double>(now.setting.global_amax)));
      for (float& value : x) value = std::clamp(value, -limit, limit);
      INFO("window " << lo << " " << hi);
      compare(search, as_dtype(x, now.dtype), {}, kind_name(kind));
    }
  }
}

TEST_CASE("weighted searches equal the weighted definition", "[parity]") {
  Random random(31);
  int64_t i = 0;
  for (const double spread : {0.3, 2.0, 6.0}) {
    for (int k = 0; k < static_cast<int>(Kind::kCount); ++k) {
      const Kind kind = static_cast<Kind>(k);
      if (kind == Kind::kSaturating) continue;  // see below
      const Turn now = turn(++i);
      const int64_t blocks = 150;
      BlockMaker maker(now.setting, 30000 + static_cast<uint64_t>(i));
      const TypedBlocks x = as_dtype(maker.make(kind, blocks), now.dtype);
      std::vector<float> weights(x.values.size());
      for (float& w : weights) w = static_cast<float>(std::exp(random.normal() * spread) * (random.chance(0.02) ? 1e30 : 1));
      compare_weighted(now.setting, x, weights, kind_name(kind));
    }
  }
}

TEST_CASE("weighted searches equal the definition where a row of weights serves many rows", "[parity]") {
  Random random(33);
  int64_t i = 0;
  for (const int64_t period : {16, 32, 48, 7, 250, 256}) {  // groups that begin at the same weights, and others
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
      const Setting setting{i % 3 == 1 && dtype != Dtype::kF16 ? 3e-33f : 1.7f};
      const int64_t blocks = 640 + i;
      const double spread = i % 2 == 0 ? 0.7 : 2.0;
      std::vector<float> row(static_cast<size_t>(period * 16)), x;
      for (float& w : row) w = static_cast<float>(std::exp(random.normal() * spread));
      for (int64_t b = 0; b < blocks; ++b) {
        const double size =
            static_cast<double>(setting.global_amax) * std::exp2(random.chance(0.8) ? random.uniform(-3, -1) : random.uniform(-16, 0));
        for (int k = 0; k < 16; ++k) x.push_back(static_cast<float>(size * random.normal() / 3));
      }
      compare_weighted(setting, as_dtype(x, dtype), row, "a shared row");
      ++i;
    }
  }
}

TEST_CASE("weighted searches tell codes apart that are nearly as good", "[parity]") {
  // near ties of the plain search are ties of equal weights, too; roots of 1 / 2 and of 1 / 8
  int64_t seed = 34000;
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF32, Dtype::kF16}) {
    for (const Kind kind : {Kind::kNearTies, Kind::kBoundaries, Kind::kThreeValued, Kind::kFewValued, Kind::kUpperRule}) {
      for (const float weight : {1.0f, 0.25f}) {
        const Setting setting{2.3f};
        const int64_t blocks = kind == Kind::kNearTies ? 500 : 3000;
        BlockMaker maker(setting, static_cast<uint64_t>(++seed));
        const TypedBlocks x = as_dtype(maker.make(kind, blocks), dtype);
        std::vector<float> row(16, weight);
        row[15] = 1.0f;
        compare_weighted(setting, x, row, kind_name(kind));
      }
    }
  }
}

TEST_CASE("weighted searches tell codes apart far below a block's maximum", "[parity]") {
  Random random(35);
  const int64_t blocks = 9000;
  int64_t deep = 0;
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
    deep += compare_far_below({1.9f, 16, dtype == Dtype::kBf16 ? 256.0f : 448.0f}, dtype, blocks, random);
  }
  CHECK(deep > 6000);
}

// NVFP4CAL_LONG_BLOCKS blocks with weights of their own, as in test_sweep_long.cpp.
TEST_CASE("no counterexample among weighted blocks", "[.long][parity]") {
  Random random(static_cast<uint64_t>(number_from("NVFP4CAL_LONG_SEED", 1)));
  const int64_t blocks = 10000;
  for (int64_t done = 0; done < number_from("NVFP4CAL_LONG_BLOCKS", 2000000); done += blocks) {
    const Dtype dtype = any_dtype(random);
    const int64_t widest = dtype == Dtype::kF16 ? 1 : 100;  // G: float16 has no room below
    const float amax = static_cast<float>(std::exp2(random.uniform(-1, 1) + static_cast<double>(random.below(2 * widest) - widest)));
    compare_far_below({amax, 16, random.chance(0.15) ? 256.0f : 448.0f}, dtype, blocks, random);
  }
}

TEST_CASE("weighted search of blocks above the range of the scales", "[parity]") {
  Random random(32);
  for (const int block : {16, 32}) {
    const Setting setting{1.5f, block};
    const int64_t blocks = 400;
    std::vector<float> x(static_cast<size_t>(block * blocks)), weights(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      // a large element with a small weight among small ones: a small code may be the best
      x[i] = static_cast<float>(random.uniform(0, 1) * (random.chance(0.1) ? 40 : 0.3));
      weights[i] = x[i] > 1 ? 1e-6f : static_cast<float>(random.uniform(0.5, 2));
    }
    compare_weighted(setting, as_dtype(x, Dtype::kF32), weights, "above the range");
  }
}

TEST_CASE("weighted search where a code clips by a last bit", "[parity]") {
  // The clipping error that rules codes out is itself rounded: at 6 s and a few steps above it is of the size of the errors compared.
  Random random(33);
  for (const int block : {16, 32}) {
    for (int attempt = 0; attempt < 60; ++attempt) {
      const Setting setting{static_cast<float>(random.uniform(1, 2)), block, attempt % 4 == 3 ? 256.0f : 448.0f};
      constexpr int64_t kBlocks = 64;
      std::vector<float> x(static_cast<size_t>(block * kBlocks)), weights(x.size());
      for (float& w : weights) w = static_cast<float>(std::exp(random.normal()));
      for (int64_t b = 0; b < kBlocks; ++b) {
        const int code = 1 + static_cast<int>(random.below(b % 2 == 0 ? 16 : 118));
        for (int ones = 1 + static_cast<int>(random.below(3)); ones > 0; --ones) {
          float value = static_cast<float>(6.0 * static_cast<double>(setting.scale(code)));
          for (int64_t step = random.below(4); step > 0; --step) value = std::nextafterf(value, 1e30f);
          x[static_cast<size_t>(b * block + random.below(block))] = value;
        }
      }
      compare_weighted(setting, as_dtype(x, Dtype::kF32), weights, "6 s and a little more");
    }
  }
}

TEST_CASE("tiny global amaxes: integers find the scalar search's codes, whatever else the tensor holds", "[parity]") {
  Random random(63);
  for (const float amax : {0x1p-79f, 0x1p-81f, 1e-30f, 3e-33f, 0x1p-126f, 1e-42f, 0x1p-149f}) {
    const Setting setting{amax};
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
      std::vector<float> values;
      for (int b = 0; b < 4001; ++b) {
        // ordinary blocks, small ones, and some with maxima that leave float32's range when they are multiplied up
        const double size = static_cast<double>(amax) * std::exp2(random.chance(0.5) ? random.uniform(-2, 0) : random.uniform(-24, 4));
        for (int i = 0; i < 16; ++i) values.push_back(static_cast<float>(size * random.normal() / 3));
        if (random.chance(0.1)) values.back() = static_cast<float>(std::exp2(random.uniform(-100, 127)));
      }
      const TypedBlocks x = as_dtype(values, dtype);
      const std::vector<uint8_t> wanted = codes_of(cpu::scalar_kernels(), Search{setting}, x);
      for (int target = 0; target < cpu_target_count(); ++target) {
        const cpu::Kernels& kernels = kernels_of_target(target);
        if (!has_integer_search(kernels, Search{setting})) continue;
        INFO(kernels.name << ", " << dtype_name(dtype) << ", " << setting_text(setting));
        CHECK(integer_codes_of(kernels, setting, x) == wanted);
        TypedBlocks broken = x;
        const size_t at = static_cast<size_t>(random.below(static_cast<int64_t>(values.size())));
        const uint32_t infinity = num::kInfBits;
        const size_t size = dtype_size(dtype);
        std::memcpy(broken.bytes.data() + broken.offset + at * size, reinterpret_cast<const char*>(&infinity) + 4 - size, size);
        CHECK(integer_codes_of(kernels, setting, broken).empty());
      }
    }
  }
}
