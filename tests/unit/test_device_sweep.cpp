// The sweep kernels, run on the host thread by thread, against the CPU's definition: the same codes, bit for bit.
#include "support/device_sweep.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

DeviceResult exact(const DeviceCase& c, uint32_t ctas) { return run_device<cuda::ExactSearch, cuda::ExactSearch>(c, ctas); }

}  // namespace

TEST_CASE("the exact sweep kernel finds the definition's codes for every kind of block", "[device]") {
  uint64_t seed = 0;
  for (const float g : hard_amaxes()) {
    DeviceCase c;
    c.block = ++seed % 3 == 0 ? 32 : 16;
    c.normalization = seed % 5 == 0 ? 256.0f : 448.0f;
    c.global_amax = {g};
    const std::vector<float> x = all_kinds({g, c.block, c.normalization}, seed, 5);  // 110 blocks: the last warp is not full
    for (const Dtype dtype : kDeviceDtypes) {
      c.x = as_dtype(x, dtype, seed % 2 * dtype_size(dtype));  // every other one is not aligned
      c.has_window = false;
      c.weights.values.clear();
      check_same(c, exact(c, 3));
      c.has_window = true;
      c.lo = seed % 2 ? -3 : -40;
      c.hi = seed % 2 ? 7 : 2;
      check_same(c, exact(c, 1));
      c.has_window = seed % 4 == 0;
      c.weights = as_dtype(random_weights(5 * c.block, seed, 13), dtype);
      check_same(c, exact(c, 2));
    }
  }
}

TEST_CASE("a stack of slices and any grid give the same codes", "[device]") {
  DeviceCase c;
  c.global_amax = {1.0f, 0.0f, 3e-5f, 2688.0f, 7e20f};
  for (const int64_t per_slice : {1, 31, 32, 33, 70}) {
    std::vector<float> x;
    for (size_t s = 0; s < c.global_amax.size(); ++s) {
      BlockMaker maker({c.global_amax[s] > 0 ? c.global_amax[s] : 1.0f}, s + 1);
      const std::vector<float> more = maker.make(c.global_amax[s] > 0 ? Kind::kNormal : Kind::kZeros, per_slice);
      x.insert(x.end(), more.begin(), more.end());
      if (c.global_amax[s] == 0) std::fill(x.end() - per_slice * 16, x.end(), 0.0f);
    }
    c.x = as_dtype(x, Dtype::kF32);
    for (const uint32_t ctas : {1, 2, 3, 7, 16}) check_same(c, exact(c, ctas));
    c.weights = as_dtype(random_weights(16 * 5 * per_slice, 3, 60), Dtype::kF32);  // the shape of x
    check_same(c, exact(c, 3));
    c.weights.values.clear();
  }
}

TEST_CASE("the first element that is not finite is found, the first bad weight too", "[device]") {
  Random random(11);
  for (int turn = 0; turn < 40; ++turn) {
    DeviceCase c;
    c.block = turn % 2 ? 32 : 16;
    std::vector<float> x = BlockMaker({1.0f, c.block}, 5).make(Kind::kNormal, 100);
    const size_t n = x.size(), first = static_cast<size_t>(random.below(static_cast<int64_t>(n)));
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    for (const size_t at : {first, first + (n - first) / 2, n - 1}) x[at] = bad[random.below(3)];
    c.x = as_dtype(x, Dtype::kF32);
    if (turn % 3) {
      for (size_t i = 0; i < n; ++i) {
        const uint32_t bits = num::bits_of(x[i]);
        const uint16_t half = num::is_finite(x[i]) ? num::f32_to_bf16(x[i]) : static_cast<uint16_t>(bits >> 16 | 0x40u * (x[i] != x[i]));
        std::vector<char>& bytes = c.x.bytes;
        if (i == 0) bytes.assign(2 * n, 0);
        std::memcpy(bytes.data() + 2 * i, &half, 2);
      }
      c.x.dtype = Dtype::kBf16;
    }
    CHECK(exact(c, 3).first_bad == first);
    c.x = as_dtype(std::vector<float>(n, 0.5f), Dtype::kF32);
    std::vector<float> w(static_cast<size_t>(7 * c.block), 1.0f);
    const float bad_weights[5] = {0.0f, -1.0f, NAN, INFINITY, -0.0f};
    const size_t at = static_cast<size_t>(random.below(static_cast<int64_t>(w.size())));
    w[at] = w.back() = bad_weights[turn % 5];
    c.weights = as_dtype(w, Dtype::kF32);
    CHECK(exact(c, 2).first_bad == DeviceResult::kNone);
    CHECK(exact(c, 2).first_bad_weight == at);
  }
}
