// The Hessian-weighted sweep kernels, run on the host thread by thread, against the CPU's definition.
#include "cpu/hessian_matrix.h"
#include "kernels/hessian_sweep_search.cuh"
#include "support/device_sweep.h"
#include "support/hessians.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

cuda::DeviceHessian prepared(const float* h, int block) {
  cuda::DeviceHessian out = {};
  const auto work = std::make_unique<cuda::BoundWork>();
  cuda::HostCta<int, cuda::kMostBlock> cta(0, 1);
  cuda::BoundMaker<cuda::HostCta<int, cuda::kMostBlock>>(cta, *work, block, out).run(h);
  return out;
}

template <Dtype kDtype, int kBlock>
void run_grid(const cuda::HessianProblem& p, uint32_t ctas) {
  using Search = cuda::HessianSearch<kDtype, kBlock>;
  const auto shared = std::make_unique<typename Search::Shared>();
  for (uint32_t i = ctas; i-- > 0;) {
    cuda::HostCta<typename Search::Lane, 64> cta(i, ctas);
    cuda::sweep_cta<Search>(cta, p, *shared);
  }
}

DeviceResult run_hessian(const DeviceCase& c, const std::vector<float>& h, uint32_t ctas, bool definition) {
  DeviceResult result;
  const int64_t size = int64_t{c.block} * c.block, columns = static_cast<int64_t>(h.size()) / size;
  std::vector<cuda::DeviceHessian> hessians;
  for (int64_t j = 0; j < columns; ++j) hessians.push_back(prepared(h.data() + j * size, c.block));
  const cuda::HessianProblem p{problem_of(c, result), hessians.data(), columns, definition};
  switch (c.x.dtype) {
    case Dtype::kF32: c.block == 16 ? run_grid<Dtype::kF32, 16>(p, ctas) : run_grid<Dtype::kF32, 32>(p, ctas); break;
    case Dtype::kBf16: c.block == 16 ? run_grid<Dtype::kBf16, 16>(p, ctas) : run_grid<Dtype::kBf16, 32>(p, ctas); break;
    default: c.block == 16 ? run_grid<Dtype::kF16, 16>(p, ctas) : run_grid<Dtype::kF16, 32>(p, ctas);
  }
  return result;
}

// Block b of a slice has Hessian b % columns.
std::vector<uint8_t> wanted_codes(const DeviceCase& c, const std::vector<float>& h) {
  const int64_t size = int64_t{c.block} * c.block, columns = static_cast<int64_t>(h.size()) / size, per_slice = c.blocks() / c.slices();
  std::vector<uint8_t> codes;
  std::vector<cpu::HessianMatrix> matrices(static_cast<size_t>(columns));
  for (int64_t j = 0; j < columns; ++j) cpu::prepare_hessian(h.data() + j * size, c.block, matrices[static_cast<size_t>(j)]);
  for (int64_t b = 0; b < c.blocks(); ++b) {
    const float g = c.global_amax[static_cast<size_t>(b / per_slice)];
    uint8_t code = num::kE4m3One;
    if (g > 0) {
      cpu::HessianPlan plan(g, c.block, c.normalization);
      if (c.has_window) plan.sweep.set_window(c.lo, c.hi);
      plan.sweep.saturation = cpu::kHessianSaturation;
      const cpu::HessianMatrix& matrix = matrices[static_cast<size_t>(b % per_slice % columns)];
      cpu::scalar_kernels().hessian_exhaustive(plan, matrix, {c.x.values.data() + b * c.block, c.block, 1}, &code);
    }
    codes.push_back(code);
  }
  return codes;
}

void check_codes(const DeviceCase& c, const std::vector<float>& h, uint32_t ctas, bool definition) {
  const DeviceResult result = run_hessian(c, h, ctas, definition);
  const std::vector<uint8_t> wanted = wanted_codes(c, h);
  CHECK(result.first_bad == DeviceResult::kNone);
  const auto [got, want] = std::mismatch(result.codes.begin(), result.codes.end(), wanted.begin());
  if (got == result.codes.end()) return;
  const int64_t b = got - result.codes.begin();
  INFO("block " << b << ", " << setting_text({c.global_amax[0], c.block, c.normalization}) << ": "
                << block_text(c.x.values.data() + b * c.block, c.block));
  CHECK(int{*got} == int{*want});
}

// Kinds of Hessians, indefinite ones after the others.
constexpr int kHessianKinds = static_cast<int>(HessianKind::kCount) + 1;
std::vector<float> hessian_of(int kind, int block, uint64_t seed) {
  std::vector<float> h = HessianMaker(static_cast<HessianKind>(kind % (kHessianKinds - 1)), block, seed).make();
  if (kind == kHessianKinds - 1) h[3] = h[static_cast<size_t>(3 * block)] = -2.0f * h[0];
  return h;
}

}  // namespace

TEST_CASE("the Hessian kernels find the definition's codes for every kind of Hessian and block", "[device]") {
  const std::vector<float> amaxes = hard_amaxes();
  uint64_t seed = 0;
  for (int kind = 0; kind < kHessianKinds; ++kind) {
    for (int round = 0; round < 3; ++round) {
      DeviceCase c;
      c.block = round == 1 ? 32 : 16;
      c.normalization = round == 2 ? 256.0f : 448.0f;
      c.global_amax = {amaxes[++seed % amaxes.size()]};
      const std::vector<float> h = hessian_of(kind, c.block, seed);
      c.x = as_dtype(all_kinds({c.global_amax[0], c.block, c.normalization}, 40 + seed, 12), kDeviceDtypes[seed % 3]);
      INFO(kind << ' ' << round);
      check_codes(c, h, 2, false);
      if (round == 0) check_codes(c, h, 1, true);
      c.has_window = true;
      c.lo = -4;
      c.hi = 9;
      if (round == 1) check_codes(c, h, 1, false);
    }
  }
}

TEST_CASE("the Hessian kernels go through columns of blocks and slices", "[device]") {
  DeviceCase c;
  c.global_amax = {1.0f, 0.0f, 300.0f};
  for (const int64_t columns : {1, 3, 5}) {
    std::vector<float> h;
    for (int64_t j = 0; j < columns; ++j) {
      const std::vector<float> more = hessian_of(static_cast<int>(j % kHessianKinds), 16, static_cast<uint64_t>(j));
      h.insert(h.end(), more.begin(), more.end());
    }
    for (const int64_t rows : {1, 32, 35, 70}) {
      std::vector<float> x;
      for (const float g : c.global_amax) {
        std::vector<float> more = BlockMaker({g > 0 ? g : 1.0f}, 3).make(Kind::kNormal, rows * columns);
        if (g == 0) std::fill(more.begin(), more.end(), 0.0f);
        x.insert(x.end(), more.begin(), more.end());
      }
      c.x = as_dtype(x, Dtype::kF32);
      for (const uint32_t ctas : {1, 4, 11}) check_codes(c, h, ctas, false);
    }
  }
}

TEST_CASE("the Hessian kernels find the first element that is not finite", "[device]") {
  DeviceCase c;
  const std::vector<float> h = hessian_of(0, 16, 1);
  std::vector<float> x = BlockMaker({1.0f}, 5).make(Kind::kNormal, 90);
  x[777] = NAN;
  x[1200] = INFINITY;
  x[778] = -INFINITY;
  c.x = as_dtype(std::vector<float>(x.size(), 1.0f), Dtype::kF32);
  std::memcpy(c.x.bytes.data(), x.data(), x.size() * 4);
  CHECK(run_hessian(c, h, 3, false).first_bad == 777);
}

TEST_CASE("the bound of a Hessian lies below it, and holds enough of it", "[device]") {
  Random random(17);
  int64_t above = 0;
  for (int turn = 0; turn < 70; ++turn) {
    const int block = turn % 3 == 2 ? 32 : 16;
    std::vector<float> h = hessian_of(turn % (kHessianKinds - 1), block, static_cast<uint64_t>(turn));
    const cuda::DeviceHessian bound = prepared(h.data(), block);
    REQUIRE(bound.usable);
    double trace = 0, held = 0;
    for (int i = 0; i < block; ++i) {
      trace += static_cast<double>(bound.values[i * block + i]);
      held += static_cast<double>(bound.d[i]);
      for (int k = 0; k < bound.rows; ++k) held += std::pow(static_cast<double>(bound.w[k][i]), 2);
    }
    INFO(turn);
    CHECK(held > 0.5 * trace);
    CHECK(held < 1.0001 * trace);
    if (turn % (kHessianKinds - 1) == static_cast<int>(HessianKind::kWhite)) CHECK(bound.rows == 0);  // the diagonal holds it
    for (int trial = 0; trial < 200; ++trial) {
      double r[32], exact = 0, below = 0, energy = 0;
      for (int i = 0; i < block; ++i) r[i] = random.normal();
      if (trial % 2) {  // nearly in the kernel of what the bound holds
        for (int k = 0; k < bound.rows; ++k) {
          double dot = 0, square = 0;
          for (int i = 0; i < block; ++i)
            dot += static_cast<double>(bound.w[k][i]) * r[i], square += std::pow(static_cast<double>(bound.w[k][i]), 2);
          for (int i = 0; i < block; ++i) r[i] -= dot / square * static_cast<double>(bound.w[k][i]);
        }
      }
      for (int i = 0; i < block; ++i) {
        energy += r[i] * r[i];
        below += static_cast<double>(bound.d[i]) * r[i] * r[i];
        for (int j = 0; j < block; ++j) exact += r[i] * static_cast<double>(bound.values[i * block + j]) * r[j];
      }
      for (int k = 0; k < bound.rows; ++k) {
        double dot = 0;
        for (int i = 0; i < block; ++i) dot += static_cast<double>(bound.w[k][i]) * r[i];
        below += dot * dot;
      }
      above += !(below - static_cast<double>(bound.slack) * energy <= exact);
    }
  }
  CHECK(above == 0);
  const std::vector<float> indefinite = hessian_of(kHessianKinds - 1, 16, 3);
  CHECK_FALSE(prepared(indefinite.data(), 16).usable);
  const std::vector<float> nothing(256, 0.0f);
  CHECK_FALSE(prepared(nothing.data(), 16).usable);
}

TEST_CASE("levels and quotients without a division are the definition's", "[device]") {
  Random random(23);
  int64_t wrong = 0;
  for (int turn = 0; turn < 300000; ++turn) {
    const float y = turn % 2
                        ? static_cast<float>(random.uniform(0, 9))
                        : num::from_bits(num::bits_of(static_cast<float>(random.below(33)) / 4) + static_cast<uint32_t>(random.below(5)));
    wrong += cuda::nearest_level(y) != num::e2m1_round(y);
    const float scale = static_cast<float>(std::exp2(random.uniform(-10, 2))), reciprocal = 1.0f / scale;
    const float x =
        turn % 3 ? static_cast<float>(static_cast<double>(scale) * random.uniform(0, 9)) : scale * static_cast<float>(random.below(21)) / 4;
    bool agree = true;
    for (int b = 0; b < 7; ++b) agree = agree && cuda::levels_agree({scale, reciprocal}, b);
    if (agree) wrong += cuda::nearest_level(cuda::corrected_quotient(x, {scale, reciprocal})) != num::e2m1_round(x / scale);
  }
  CHECK(wrong == 0);
}
