// A search through the kernels' code on the host, and what the CPU's definition says of the same tensor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "cpu/kernels.h"
#include "kernels/host_grid.cuh"
#include "kernels/sweep_exact.cuh"
#include "kernels/sweep_lanes.cuh"
#include "parity/sweep_run.h"
#include "support/blocks.h"
#include "support/catch.h"

namespace nvfp4cal::test {

struct DeviceCase {
  TypedBlocks x;
  int block = 16;
  float normalization = 448.0f;
  std::vector<float> global_amax = {1.0f};  // one a slice
  bool has_window = false;
  int lo = 0, hi = 0;
  TypedBlocks weights = {Dtype::kF32, {}, 0, {}};  // no values: none

  int64_t blocks() const { return static_cast<int64_t>(x.values.size()) / block; }
  int64_t slices() const { return static_cast<int64_t>(global_amax.size()); }
};

struct DeviceResult {
  static constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
  std::vector<uint8_t> codes;
  uint64_t first_bad = kNone, first_bad_weight = kNone;
};

inline cuda::SweepProblem problem_of(const DeviceCase& c, DeviceResult& result) {
  result.codes.assign(static_cast<size_t>(c.blocks()), 0xEE);
  cuda::SweepProblem p = {};
  p.x = c.x.data();
  p.dtype = c.x.dtype;
  p.block = c.block;
  p.normalization = c.normalization;
  p.global_amax = c.global_amax.data();
  p.slices = c.slices();
  p.blocks_per_slice = c.blocks() / c.slices();
  p.has_window = c.has_window;
  p.window_lo = c.lo;
  p.window_hi = c.hi;
  if (!c.weights.values.empty()) {
    p.weights = c.weights.data();
    p.weights_dtype = c.weights.dtype;
    p.weight_blocks = static_cast<int64_t>(c.weights.values.size()) / c.block;
  }
  p.codes = result.codes.data();
  p.first_bad = &result.first_bad;
  p.first_bad_weight = &result.first_bad_weight;
  return p;
}

// A grid of `ctas` thread blocks.
template <class Search, int kThreads = 64>
DeviceResult run_search(const DeviceCase& c, uint32_t ctas) {
  DeviceResult result;
  const cuda::SweepProblem p = problem_of(c, result);
  const auto shared = std::make_unique<typename Search::Shared>();
  for (uint32_t i = ctas; i-- > 0;) {
    cuda::HostCta<typename Search::Lane, kThreads> cta(i, ctas);
    cuda::sweep_cta<Search>(cta, p, *shared);
  }
  return result;
}

// The search of a case's dtype and block size: Plain<block>, or Weighted<block> where it has weights.
template <Dtype kDtype, template <int> class Plain, template <int> class Weighted>
DeviceResult run_dtype(const DeviceCase& c, uint32_t ctas) {
  using cuda::BlockSearch;
  using cuda::LaneSearch;
  if (c.weights.values.empty()) {
    return c.block == 16 ? run_search<LaneSearch<BlockSearch<kDtype, 16, false, Plain<16>>>>(c, ctas)
                         : run_search<LaneSearch<BlockSearch<kDtype, 32, false, Plain<32>>>>(c, ctas);
  }
  return c.block == 16 ? run_search<LaneSearch<BlockSearch<kDtype, 16, true, Weighted<16>>>>(c, ctas)
                       : run_search<LaneSearch<BlockSearch<kDtype, 32, true, Weighted<32>>>>(c, ctas);
}

template <template <int> class Plain, template <int> class Weighted>
DeviceResult run_device(const DeviceCase& c, uint32_t ctas) {
  return c.x.dtype == Dtype::kF32    ? run_dtype<Dtype::kF32, Plain, Weighted>(c, ctas)
         : c.x.dtype == Dtype::kBf16 ? run_dtype<Dtype::kBf16, Plain, Weighted>(c, ctas)
                                     : run_dtype<Dtype::kF16, Plain, Weighted>(c, ctas);
}

inline constexpr Dtype kDeviceDtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF16};

inline std::vector<uint8_t> defined_codes(const DeviceCase& c) {
  std::vector<uint8_t> codes;
  const int64_t per_slice = c.blocks() / c.slices();
  std::vector<float> rows = normalized_weights(c.weights.values, c.block);
  for (int64_t s = 0; s < c.slices(); ++s) {
    const float g = c.global_amax[static_cast<size_t>(s)];
    if (g == 0.0f) {
      codes.insert(codes.end(), static_cast<size_t>(per_slice), num::kE4m3One);
      continue;
    }
    cpu::SweepPlan plan(g, c.block, c.normalization);
    const int64_t period = static_cast<int64_t>(rows.size()) / c.block;
    const cpu::BlockWeights weights{rows.data(), s * per_slice, period};
    if (period > 0) plan.set_weighted();
    if (c.has_window) plan.set_window(c.lo, c.hi);
    std::vector<uint8_t> more(static_cast<size_t>(per_slice));
    const cpu::Span span{c.x.dtype, c.x.data()};
    cpu::scalar_kernels().sweep(plan, span.at(s * per_slice * c.block), per_slice, period > 0 ? &weights : nullptr, more.data());
    codes.insert(codes.end(), more.begin(), more.end());
  }
  return codes;
}

inline std::vector<float> random_weights(int64_t n, uint64_t seed, double largest_spread) {
  Random random(seed);
  const double spread = largest_spread * (random.chance(0.3) ? 1 : random.uniform(0.01, 0.2));
  std::vector<float> w(static_cast<size_t>(n));
  for (float& value : w) value = static_cast<float>(std::exp2(random.uniform(-spread, spread)));
  return w;
}

// The codes are the definition's, and nothing is reported.
inline void check_same(const DeviceCase& c, const DeviceResult& result) {
  const std::vector<uint8_t> wanted = defined_codes(c);
  REQUIRE(result.codes.size() == wanted.size());
  CHECK(result.first_bad == DeviceResult::kNone);
  CHECK(result.first_bad_weight == DeviceResult::kNone);
  const auto [got, want] = std::mismatch(result.codes.begin(), result.codes.end(), wanted.begin());
  if (got == result.codes.end()) return;
  const int64_t b = got - result.codes.begin();
  INFO("block " << b << " of " << wanted.size() << ", " << setting_text({c.global_amax[0], c.block, c.normalization}) << ": "
                << block_text(c.x.values.data() + b * c.block, c.block));
  CHECK(int{*got} == int{*want});
}

// Blocks of every kind for one G.
inline std::vector<float> all_kinds(const Setting& setting, uint64_t seed, int64_t blocks_each) {
  BlockMaker maker(setting, seed);
  std::vector<float> x;
  for (int k = 0; k < static_cast<int>(Kind::kCount); ++k) {
    const std::vector<float> more = maker.make(static_cast<Kind>(k), blocks_each);
    x.insert(x.end(), more.begin(), more.end());
  }
  return x;
}

}  // namespace nvfp4cal::test
