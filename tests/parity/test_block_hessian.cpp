// Single-level quantization under Hessians, on every target: scales against all 126 codes in float64, ADMM against the definition, bit for bit.
#include <cmath>
#include <cstdlib>
#include <limits>

#include "parity/sweep_run.h"
#include "support/catch.h"
#include "support/hessians.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

constexpr int kBlockKinds = static_cast<int>(Kind::kCount), kMatrixKinds = static_cast<int>(HessianKind::kCount);

enum Special { kZero, kIndefinite, kNegative, kOneElement, kRankOne, kHuge, kTiny, kAsymmetric, kBeyond, kSpecials };

// [n, n]; kinds from kMatrixKinds on are special.
std::vector<double> matrix_of(int kind, int n, uint64_t seed) {
  const HessianKind made = kind < kMatrixKinds ? static_cast<HessianKind>(kind) : HessianKind::kAr9;
  const std::vector<float> values = HessianMaker(made, n, seed).make();
  std::vector<double> h(values.begin(), values.end());
  const auto scale = [&](double factor) {
    for (double& value : h) value *= factor;
  };
  Random random(seed);
  switch (kind - kMatrixKinds) {
    case kZero: scale(0.0); break;
    case kIndefinite: h[0] = -h[0]; break;
    case kNegative: scale(-1.0); break;
    case kOneElement:
      scale(0.0);
      h[static_cast<size_t>(n * 3 + 3)] = 2.0;
      break;
    case kRankOne:
      for (size_t i = 0; i < h.size(); ++i) h[i] = 1.0;
      break;
    case kHuge: scale(1e100); break;
    case kTiny: scale(1e-100); break;
    case kAsymmetric:
      for (double& value : h) value *= 1.0 + 1e-5 * random.normal();
      break;
    case kBeyond: scale(1e-150); break;  // the filter's factor has no room for it
    default: break;
  }
  return h;
}

// Blocks of all kinds, scales about those of E4M3; some of the kinds are beyond its range. Zeros of both signs and one number among zeros, too.
std::vector<float> blocks_of_all_kinds(int n, int64_t each, uint64_t seed) {
  BlockMaker maker({1536.0f, n, 256.0f}, seed);
  Random random(seed);
  std::vector<float> all;
  for (int kind = 0; kind < kBlockKinds; ++kind) {
    const std::vector<float> some = maker.make(static_cast<Kind>(kind), each);
    all.insert(all.end(), some.begin(), some.end());
  }
  for (int64_t b = 0; b < 2 * each; ++b) {
    const double size = std::exp2(random.uniform(-14, 45));
    const bool alone = random.chance(0.5);
    for (int i = 0; i < n; ++i) {
      const float zero = random.chance(0.5) ? 0.0f : -0.0f;
      all.push_back(alone ? (i == b % n ? static_cast<float>(size) : zero) : static_cast<float>(size * random.normal()));
    }
  }
  return all;
}

struct Matrix {
  std::vector<double> h, normalized, inverse;
  std::vector<float> factor;
  cpu::BlockMatrix known;
  bool invertible;

  Matrix(int kind, int n, uint64_t seed) : h(matrix_of(kind, n, seed)), normalized(h.size()), inverse(h.size()) {
    factor.resize(static_cast<size_t>(cpu::factor_size(n)));
    known.hessian = cpu::bounded_hessian(h.data(), n);
    known.factor = cpu::factor_hessian(known.hessian, n, factor.data());
    invertible = cpu::prepare_admm(known.hessian, n, normalized.data(), inverse.data());
  }
};

// docs/numerics.md 8.
double error_of(const float* x, int n, float scale, const double* h) {
  double r[32], all = 0.0;
  for (int i = 0; i < n; ++i) {
    const float y = std::fabs(x[i]) / scale;
    double level = 0.0;
    const double boundaries[7] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5};
    for (int k = 0; k < 7; ++k) {
      if (static_cast<double>(y) > boundaries[k]) level = kLevels[k + 1];
    }
    r[i] = static_cast<double>(x[i]) - (x[i] < 0.0f ? -level : level) * static_cast<double>(scale);
  }
  for (int i = 0; i < n; ++i) {
    double sum = 0.0;
    for (int j = 0; j < n; ++j) sum += h[i * n + j] * r[j];
    all += r[i] * sum;
  }
  return all;
}

float wanted_scale(const float* x, int n, const double* h) {
  float chosen = num::naive_scale(x, n);
  double least = error_of(x, n, chosen, h);
  for (int code = 1; code <= kCodes; ++code) {
    const float scale = static_cast<float>(e4m3_value_of(code));
    const double error = error_of(x, n, scale, h);
    if (!(error < least)) continue;
    least = error;
    chosen = scale;
  }
  return chosen;
}

std::string difference(const std::vector<float>& x, int n, const Matrix& matrix) {
  const int64_t blocks = static_cast<int64_t>(x.size()) / n;
  std::vector<float> wanted;
  for (int64_t b = 0; b < blocks; ++b) wanted.push_back(wanted_scale(x.data() + b * n, n, matrix.h.data()));
  for (int target = 0; target < cpu_target_count(); ++target) {
    const cpu::Kernels& kernels = kernels_of_target(target);
    std::vector<float> scales(wanted.size() + 1, -7.0f);
    kernels.hessian_scales(matrix.known, x.data(), n, blocks, scales.data());
    if (scales.back() != -7.0f) return std::string(kernels.name) + ": wrote past the end";
    for (size_t b = 0; b < wanted.size(); ++b) {
      if (scales[b] == wanted[b]) continue;
      std::ostringstream text;
      text << kernels.name << ": scale " << scales[b] << ", definition " << wanted[b] << ", block "
           << block_text(x.data() + b * static_cast<size_t>(n), n);
      return text.str();
    }
  }
  return "";
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Of blocks in groups of kAdmmBlocks at most.
std::string admm_difference(const std::vector<float>& x, int n, const Matrix& matrix, const num::AdmmSteps& steps) {
  const int64_t blocks = static_cast<int64_t>(x.size()) / n;
  std::vector<float> wanted(static_cast<size_t>(blocks)), wanted_quants(x.size());
  for (int64_t b = 0; b < blocks; ++b) {
    wanted[static_cast<size_t>(b)] = num::admm<32>(x.data() + b * n, n, matrix.known.hessian, steps, wanted_quants.data() + b * n);
  }
  for (int target = 0; target < cpu_target_count(); ++target) {
    const cpu::Kernels& kernels = kernels_of_target(target);
    std::vector<float> scales(wanted.size(), -7.0f), quants(x.size(), -7.0f);
    for (int64_t b = 0; b < blocks; b += cpu::kAdmmBlocks) {
      const int64_t here = std::min(cpu::kAdmmBlocks, blocks - b);
      cpu::admm(kernels, matrix.known, n, steps, x.data() + b * n, here, scales.data() + b, quants.data() + b * n);
    }
    if (!same(scales, wanted)) return std::string(kernels.name) + ": scales";
    if (!same(quants, wanted_quants)) return std::string(kernels.name) + ": levels";
  }
  return "";
}

}  // namespace

// NVFP4CAL_LONG_BLOCKS and NVFP4CAL_LONG_SEED: another number of blocks, others.
TEST_CASE("block searches under Hessians of every target find the best of all scales", "[parity][block]") {
  const char* const wanted = std::getenv("NVFP4CAL_LONG_BLOCKS");
  const char* const seed_text = std::getenv("NVFP4CAL_LONG_SEED");
  const uint64_t seed = seed_text ? static_cast<uint64_t>(std::atoll(seed_text)) : 1;
  const int64_t kinds = 2 * (kMatrixKinds + kSpecials) * (kBlockKinds + 2);
  for (const int n : {16, 32}) {
    const std::vector<float> x = blocks_of_all_kinds(n, (wanted ? std::atoll(wanted) : 6000) / kinds + 1, seed);
    for (int kind = 0; kind < kMatrixKinds + kSpecials; ++kind) {
      CAPTURE(n, kind);
      const Matrix matrix(kind, n, seed + static_cast<uint64_t>(kind));
      CHECK((matrix.known.factor.rows != nullptr) == (kind != kMatrixKinds + kZero && kind != kMatrixKinds + kBeyond));
      REQUIRE(difference(x, n, matrix) == "");
    }
  }
}

TEST_CASE("block searches under Hessians take any number of blocks", "[parity][block]") {
  const Matrix matrix(static_cast<int>(HessianKind::kActivations), 16, 3);
  Random random(4);
  for (int64_t blocks = 0; blocks < 40; ++blocks) {
    std::vector<float> x(static_cast<size_t>(16 * blocks));
    for (float& value : x) value = static_cast<float>(random.normal());
    REQUIRE(difference(x, 16, matrix) == "");
    for (const bool from_optimal : {false, true}) REQUIRE(admm_difference(x, 16, matrix, {3, 10, from_optimal}) == "");
  }
}

TEST_CASE("ADMM of every target has the definition's bits", "[parity][block]") {
  const char* const wanted = std::getenv("NVFP4CAL_LONG_BLOCKS");
  const int64_t kinds = 2 * (kMatrixKinds + kSpecials) * (kBlockKinds + 2);
  for (const int n : {16, 32}) {
    const std::vector<float> x = blocks_of_all_kinds(n, (wanted ? std::atoll(wanted) : 3000) / kinds + 1, 2);
    int invertible = 0;
    for (int kind = 0; kind < kMatrixKinds + kSpecials; ++kind) {
      CAPTURE(n, kind);
      const Matrix matrix(kind, n, 7 + static_cast<uint64_t>(kind));
      if (!matrix.invertible) continue;
      ++invertible;
      for (const num::AdmmSteps& steps :
           {num::AdmmSteps{3, 10, false}, num::AdmmSteps{3, 10, true}, num::AdmmSteps{1, 1, false}, num::AdmmSteps{9, 3, true}}) {
        REQUIRE(admm_difference(x, n, matrix, steps) == "");
      }
    }
    CHECK(invertible > kMatrixKinds + kSpecials - 4);
  }
}

TEST_CASE("ADMM that grows without bound has the definition's bits", "[parity][block]") {
  Matrix matrix(kMatrixKinds + kIndefinite, 16, 5);
  REQUIRE(matrix.invertible);
  const std::vector<float> x = blocks_of_all_kinds(16, 1, 6);
  for (double& value : matrix.inverse) value *= -8.0;
  for (const int n_inner : {40, 1000}) REQUIRE(admm_difference(x, 16, matrix, {2, n_inner, false}) == "");
}
