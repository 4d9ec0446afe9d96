// The Hessian-weighted search: the definition against an independent oracle, every target against the definition, and pruning against trying all codes.
#include <cmath>
#include <cstdlib>

#include "parity/sweep_run.h"
#include "support/catch.h"
#include "support/hessians.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

using Codes = std::vector<uint8_t>;

// x in the caller's units; all blocks share one Hessian.
Codes search(const cpu::Kernels& kernels, const Setting& setting, const std::vector<float>& hessian, const std::vector<float>& x,
             bool exhaustive) {
  cpu::HessianPlan plan(setting.global_amax, setting.block, setting.normalization);
  cpu::HessianMatrix matrix;
  cpu::prepare_hessian(hessian.data(), setting.block, matrix);
  Codes codes(x.size() / static_cast<size_t>(setting.block), 0xEE);
  const auto run = exhaustive ? kernels.hessian_exhaustive : kernels.hessian_sweep;
  run(plan, matrix, {x.data(), setting.block, static_cast<int64_t>(codes.size())}, codes.data());
  return codes;
}

// docs/numerics.md 4, all codes, in float32 with own rounding; best: the float64 error of every code, if wanted.
int oracle_code(const Setting& setting, const std::vector<float>& h, const float* x, std::vector<double>* errors) {
  const int block = setting.block;
  float largest = 0.0f;
  for (const float value : h) largest = std::max(largest, std::fabs(value));
  const int h_exponent = largest > 0 ? -std::ilogb(largest) : 0;
  float best = INFINITY;
  int best_code = 1;
  if (errors) errors->assign(kCodes + 1, 0.0);
  for (int code = 1; code <= kCodes; ++code) {
    const float scale = setting.scale(code);
    float r[32], error = 0.0f;
    for (int i = 0; i < block; ++i) {
      const float magnitude = static_cast<float>(std::ldexp(std::fabs(static_cast<double>(x[i])), setting.exponent()));
      const float q = static_cast<float>(e2m1_level_of(static_cast<double>(magnitude / scale)));
      r[i] = std::copysign(1.0f, x[i]) * std::fma(-q, scale, magnitude);
    }
    for (int i = 0; i < block; ++i) {
      float t = 0.0f;
      for (int j = 0; j < block; ++j) {
        const float value = h[static_cast<size_t>(i * block + j)];
        t = std::fma(std::ldexp(value, h_exponent), r[j], t);
        if (errors)
          (*errors)[static_cast<size_t>(code)] +=
              static_cast<double>(r[i]) * std::ldexp(static_cast<double>(value), h_exponent) * static_cast<double>(r[j]);
      }
      error = std::fma(r[i], t, error);
    }
    if (error < best) {
      best = error;
      best_code = code;
    }
  }
  return best_code;
}

std::vector<float> grid_blocks(const Setting& setting, int64_t blocks, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(blocks * setting.block));
  for (float& value : x) value = static_cast<float>(std::ldexp(static_cast<double>(random.below(97) - 48) / 48.0, -setting.exponent()));
  return x;
}

void compare(const Setting& setting, const std::vector<float>& h, const std::vector<float>& x, const char* what, int64_t& count) {
  const Codes wanted = search(kernels_of_target(0), setting, h, x, true);
  for (int target = 0; target < cpu_target_count(); ++target) {
    const cpu::Kernels& kernels = kernels_of_target(target);
    if (kernels.hessian_sweep == cpu::scalar_kernels().hessian_sweep) continue;  // the definition, too slow for this many
    const Codes codes = search(kernels, setting, h, x, false);
    const auto [got, want] = std::mismatch(codes.begin(), codes.end(), wanted.begin());
    count += target == 0 ? static_cast<int64_t>(codes.size()) : 0;
    if (got == codes.end()) continue;
    const int64_t b = got - codes.begin();
    INFO(what << ", " << kernels.name << ", " << setting_text(setting) << ", block " << b << ": "
              << block_text(x.data() + b * setting.block, setting.block));
    CHECK(int{*got} == int{*want});
  }
}

}  // namespace

TEST_CASE("the Hessian search's definition, on every target, is the page's", "[hessian]") {
  const std::vector<float> amaxes = hard_amaxes();
  int64_t blocks = 0, outside = 0;
  for (int turn = 0; turn < 24; ++turn) {
    const Setting setting{amaxes[static_cast<size_t>(turn) % amaxes.size()], turn % 3 == 2 ? 32 : 16, turn % 5 == 4 ? 256.0f : 448.0f};
    const HessianKind kind = static_cast<HessianKind>(turn % static_cast<int>(HessianKind::kCount));
    std::vector<float> h = HessianMaker(kind, setting.block, static_cast<uint64_t>(turn)).make();
    if (turn % 4 == 3) h[3] = h[static_cast<size_t>(3 * setting.block)] = -2.0f * h[0];  // indefinite
    BlockMaker maker(setting, 900 + static_cast<uint64_t>(turn));
    std::vector<float> x;
    for (int k = 0; k < static_cast<int>(Kind::kCount); ++k) {
      if (static_cast<Kind>(k) == Kind::kSaturating) continue;  // has a rule of its own
      const std::vector<float> more = maker.make(static_cast<Kind>(k), 3);
      x.insert(x.end(), more.begin(), more.end());
    }
    Codes wanted;
    for (size_t b = 0; b < x.size(); b += static_cast<size_t>(setting.block)) {
      std::vector<double> errors;
      wanted.push_back(static_cast<uint8_t>(oracle_code(setting, h, x.data() + b, &errors)));
      const double best = *std::min_element(errors.begin() + 1, errors.end());
      double floor = 0.0;
      for (int i = 0; i < setting.block; ++i) {
        const double value = std::ldexp(static_cast<double>(x[b + static_cast<size_t>(i)]), setting.exponent());
        floor += 1e-13 * value * value * 2.0 * setting.block;
      }
      outside += turn % 4 != 3 && !(errors[wanted.back()] <= best * (1 + 1e-5) + floor);
    }
    blocks += static_cast<int64_t>(wanted.size());
    for (int target = 0; target < cpu_target_count(); ++target) {
      INFO(turn << ' ' << cpu_target_name(target) << ' ' << setting_text(setting));
      CHECK(search(kernels_of_target(target), setting, h, x, true) == wanted);
      CHECK(search(kernels_of_target(target), setting, h, x, false) == wanted);
    }
  }
  CHECK(blocks > 1000);
  CHECK(outside == 0);
}

TEST_CASE("the Hessian search is as near to float64 as its sums allow, nearly singular H included", "[hessian]") {
  // H of ones: the least error is the square of a sum that cancels.
  std::vector<float> x = {0x1.5a1ee6p+3f,  0x1.a85848p-2f,  0x1.3575f8p+3f,  0x1.4b244p+2f,  -0x1.a9fecep+2f, -0x1.60ba0cp+0f,
                          -0x1.d5470cp+2f, -0x1.78c6ecp+2f, -0x1.f01c72p+2f, 0x1.1b41cap-1f, -0x1.45700ap+3f, 0x1.6676e4p+2f,
                          0x1.10fc3ap+2f,  -0x1.147fc2p+3f, 0x1.a11c4ep+2f,  0x1.6c79dap+2f};
  double furthest = 0.0;
  for (uint64_t turn = 0; turn < 24; ++turn) {
    const Setting setting{turn == 0 ? 0x1.3e269ap+12f : 1.0f, turn % 3 == 2 ? 32 : 16};
    const size_t block = static_cast<size_t>(setting.block);
    std::vector<float> h(block * block, 1.0f);  // every other time with a little more
    Random random(turn);
    for (size_t i = 0; turn % 2 && i < block; ++i) h[i * block + i] += static_cast<float>(std::exp2(random.uniform(-24, -12)));
    BlockMaker maker(setting, 300 + turn);
    if (turn > 0) x = maker.make(Kind::kNormal, 40);
    const Codes codes = search(kernels_of_target(0), setting, h, x, false);
    for (size_t b = 0; b < codes.size(); ++b) {
      std::vector<double> errors;
      CHECK(int{codes[b]} == oracle_code(setting, h, x.data() + b * block, &errors));
      double energy = 0.0;
      for (size_t i = 0; i < block; ++i) energy += std::pow(std::ldexp(static_cast<double>(x[b * block + i]), setting.exponent()), 2);
      const double best = *std::min_element(errors.begin() + 1, errors.end()), more = errors[codes[b]] - best;
      CHECK(more <= (4.0 * static_cast<double>(block) + 8) * 0x1p-24 * static_cast<double>(block) * (1 + 0x1p-12) * energy);
      furthest = std::max(furthest, (more - 1e-13 * energy * static_cast<double>(block)) / best);
    }
  }
  CHECK(furthest > 1e-4);  // why docs/hessian_sweep.md has this bound and not a relative one
}

TEST_CASE("pruning finds what trying all codes finds: every kind of Hessian and block", "[hessian]") {
  int64_t count = 0;
  const std::vector<float> amaxes = hard_amaxes();
  uint64_t seed = 0;
  for (int kind = 0; kind < static_cast<int>(HessianKind::kCount); ++kind) {
    for (int round = 0; round < 6; ++round) {
      const Setting setting{amaxes[++seed % amaxes.size()], round == 4 ? 32 : 16, round == 5 ? 256.0f : 448.0f};
      const std::vector<float> h = HessianMaker(static_cast<HessianKind>(kind), setting.block, seed).make();
      BlockMaker maker(setting, 5000 + seed);
      for (int k = 0; k < static_cast<int>(Kind::kCount); ++k) {
        const std::vector<float> x = maker.make(static_cast<Kind>(k), 256);
        compare(setting, h, x, kind_name(static_cast<HessianKind>(kind)), count);
        if (k % 4 == 0) compare(setting, h, as_dtype(x, Dtype::kBf16).values, kind_name(static_cast<HessianKind>(kind)), count);
      }
      compare(setting, h, grid_blocks(setting, 512, seed), "few-bit values", count);
    }
  }
  CHECK(count >= 250000);
}

TEST_CASE("pruning holds for Hessians at the edge of being semidefinite", "[hessian]") {
  int64_t count = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Setting setting{1.0f, seed % 4 == 3 ? 32 : 16};
    const size_t block = static_cast<size_t>(setting.block);
    std::vector<float> h = HessianMaker(static_cast<HessianKind>(seed % 7), setting.block, seed).make();
    Random random(seed);
    float largest = 0.0f;
    for (const float value : h) largest = std::max(largest, std::fabs(value));
    switch (seed % 5) {
      case 0:  // slightly indefinite and not quite symmetric
        for (float& value : h) value += largest * static_cast<float>(random.uniform(-1, 1) * std::exp2(random.uniform(-26, -12)));
        break;
      case 1:  // dead channels
        for (size_t i = 0; i < block; ++i) h[2 * block + i] = h[i * block + 2] = h[7 * block + i] = h[i * block + 7] = 0.0f;
        break;
      case 2:  // rank one
        for (size_t i = 0; i < block; ++i) {
          for (size_t j = 0; j < block; ++j)
            h[i * block + j] = static_cast<float>((1.0 + static_cast<double>(i)) * (j % 2 ? -1.0 : 1.0) * (i % 2 ? -1.0 : 1.0) *
                                                  (1.0 + static_cast<double>(j)));
        }
        break;
      case 3:  // a few bits: exact ties between codes
        for (float& value : h) value = std::round(4.0f * value / largest);
        break;
      default:  // two channels that are all but the same
        for (size_t i = 0; i < block; ++i) h[block + i] = h[i];
        for (size_t i = 0; i < block; ++i) h[i * block + 1] = h[i * block];
        break;
    }
    BlockMaker maker(setting, 7000 + seed);
    for (const Kind kind : {Kind::kNormal, Kind::kOwnRange, Kind::kBoundaries, Kind::kNearTop, Kind::kFewValued, Kind::kRepresentable}) {
      compare(setting, h, maker.make(kind, 128), "edge", count);
    }
    compare(setting, h, grid_blocks(setting, 128, seed), "edge, few-bit values", count);
  }
  CHECK(count >= 50000);
}

namespace {

// The float64 error of one code, residuals as the definition has them.
double form(const Setting& setting, const std::vector<float>& h, const float* x, int code) {
  const float scale = setting.scale(code);
  double r[32], error = 0.0;
  for (int i = 0; i < setting.block; ++i) {
    const float magnitude = static_cast<float>(std::ldexp(std::fabs(static_cast<double>(x[i])), setting.exponent()));
    const float q = static_cast<float>(e2m1_level_of(static_cast<double>(magnitude / scale)));
    r[i] = static_cast<double>(std::copysign(1.0f, x[i]) * std::fma(-q, scale, magnitude));
  }
  for (int i = 0; i < setting.block; ++i) {
    for (int j = 0; j < setting.block; ++j) error += r[i] * static_cast<double>(h[static_cast<size_t>(i * setting.block + j)]) * r[j];
  }
  return error;
}

// Blocks on the way from one to another whose best codes differ, where these two codes are as equal as float32 elements allow.
std::vector<float> near_ties(const Setting& setting, const std::vector<float>& h, int64_t blocks, uint64_t seed) {
  BlockMaker maker(setting, seed);
  const size_t n = static_cast<size_t>(setting.block);
  const std::vector<float> ends = maker.make(seed % 3 == 0 ? Kind::kOwnRange : Kind::kNormal, blocks + 1);
  const Codes codes = search(kernels_of_target(0), setting, h, ends, true);
  std::vector<float> all, middle(n);
  for (size_t b = 0; b < static_cast<size_t>(blocks); ++b) {
    double lo = 0.0, hi = 1.0;
    for (int step = 0; step < 40; ++step) {
      const double at = (lo + hi) / 2.0;
      for (size_t i = 0; i < n; ++i)
        middle[i] = static_cast<float>(static_cast<double>(ends[b * n + i]) * (1.0 - at) + static_cast<double>(ends[(b + 1) * n + i]) * at);
      (form(setting, h, middle.data(), codes[b]) < form(setting, h, middle.data(), codes[b + 1]) ? lo : hi) = at;
    }
    all.insert(all.end(), middle.begin(), middle.end());
  }
  return all;
}

}  // namespace

// NVFP4CAL_LONG_BLOCKS and NVFP4CAL_LONG_SEED: another number of blocks, others.
TEST_CASE("sums of pairs decide nothing that the definition decides otherwise", "[hessian]") {
  const char* const wanted = std::getenv("NVFP4CAL_LONG_BLOCKS");
  const char* const first = std::getenv("NVFP4CAL_LONG_SEED");
  const int64_t blocks = (wanted ? std::atoll(wanted) : 10000) / 42 + 1;
  const std::vector<float> amaxes = hard_amaxes();
  int64_t count = 0;
  uint64_t seed = first ? static_cast<uint64_t>(std::atoll(first)) * 1000 : 0;
  for (int turn = 0; turn < 42; ++turn, ++seed) {
    const Setting setting{amaxes[seed % amaxes.size()], turn % 6 == 5 ? 32 : 16};
    const HessianKind kind = static_cast<HessianKind>(turn % static_cast<int>(HessianKind::kCount));
    std::vector<float> h = HessianMaker(kind, setting.block, 70 + seed).make();
    Random random(seed);
    if (turn % 3 == 1) {  // symmetric to 1e-5 only
      for (float& value : h) value *= static_cast<float>(1.0 + random.uniform(-1e-5, 1e-5));
    }
    compare(setting, h, near_ties(setting, h, blocks, seed), kind_name(kind), count);
  }
  CHECK(count >= 42 * blocks);
}

namespace {

// Elements at the boundaries of one code's levels, or up to four steps of 2^-11 beside them, where the sixteen-bit bounds cannot know the residuals' signs.
struct BoundaryPattern {
  double quotient[16];
  bool negative[16];
};

BoundaryPattern boundary_pattern(Random& random) {
  static const double kBoundaries[7] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5};
  BoundaryPattern pattern;
  for (int i = 0; i < 16; ++i) {
    const double beside = random.chance(0.4) ? 0.0 : random.uniform(-4, 4) * 0x1p-11;
    pattern.quotient[i] = random.chance(0.1) ? 0.0 : kBoundaries[random.below(7)] + beside;
    pattern.negative[i] = random.chance(0.5);
  }
  pattern.quotient[random.below(16)] = random.uniform(5.2, 6.5);
  return pattern;
}

std::vector<float> pattern_block(const Setting& setting, const BoundaryPattern& pattern, int code, bool flipped) {
  std::vector<float> x;
  for (int i = 0; i < 16; ++i) {
    const double magnitude = pattern.quotient[i] * static_cast<double>(setting.scale(code));
    x.push_back(static_cast<float>(std::ldexp(pattern.negative[i] != flipped ? -magnitude : magnitude, -setting.exponent())));
  }
  return x;
}

// w w' and a little more, w across the pattern's residuals: the least error is next to nothing, and large if one residual had the other sign.
std::vector<float> across(const Setting& setting, const BoundaryPattern& pattern, int code, Random& random) {
  double w[16], r[16], sum = 0.0;
  int largest = 0;
  const std::vector<float> x = pattern_block(setting, pattern, code, false);
  for (int i = 0; i < 16; ++i) {
    const float magnitude = static_cast<float>(std::ldexp(std::fabs(static_cast<double>(x[static_cast<size_t>(i)])), setting.exponent()));
    const double rest = static_cast<double>(magnitude) -
                        e2m1_level_of(static_cast<double>(magnitude / setting.scale(code))) * static_cast<double>(setting.scale(code));
    r[i] = std::copysign(1.0, static_cast<double>(x[static_cast<size_t>(i)])) * rest;
    w[i] = random.normal();
    if (std::fabs(r[i]) > std::fabs(r[largest])) largest = i;
  }
  for (int i = 0; i < 16; ++i) sum += i == largest ? 0.0 : w[i] * r[i];
  w[largest] = -sum / r[largest];
  const double more = random.chance(0.3) ? 0.0 : std::exp2(random.uniform(-20, -3));
  std::vector<float> h;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) h.push_back(static_cast<float>(w[i] * w[j] + (i == j ? more : 0.0)));
  }
  return h;
}

}  // namespace

TEST_CASE("bounds hold where residuals change their signs", "[hessian]") {
  const std::vector<float> amaxes = hard_amaxes();
  int64_t count = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Random random(8800 + seed);
    const Setting setting{amaxes[seed % amaxes.size()], 16, seed % 4 == 3 ? 256.0f : 448.0f};
    const BoundaryPattern pattern = boundary_pattern(random);
    const std::vector<float> h = across(setting, pattern, 20 + static_cast<int>(random.below(100)), random);
    std::vector<float> x;
    for (int code = 1; code <= kCodes; ++code) {
      std::vector<float> block = pattern_block(setting, pattern, code, code % 2 == 1);
      for (float& value : block) {
        if (random.chance(0.2)) value = std::nextafterf(value, random.chance(0.5) ? 0.0f : 2.0f * value);
        value = std::clamp(value, -3.4028234663852886e38f, 3.4028234663852886e38f);
      }
      x.insert(x.end(), block.begin(), block.end());
    }
    compare(setting, h, x, "across", count);
  }
  CHECK(count == 400 * kCodes);
}
