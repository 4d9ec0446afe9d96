// Bin edges against long double logarithms, and the histogram operation against plain loops on every target.
#include <cmath>
#include <limits>
#include <string>

#include "calib/log2_edges.h"
#include "core/backends.h"
#include "core/ops.h"
#include "parity/strided.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

struct Range {
  double lo, hi;
  int bins;
};

// Unclamped: the bin by its definition, in 64 bits of precision.
long double position(uint32_t bits, const Range& range) {
  const long double log2 = std::log2(static_cast<long double>(num::from_bits(bits)));
  return (log2 - range.lo) * range.bins / (static_cast<long double>(range.hi) - range.lo);
}

int bin_of(float amax, const Range& range) {
  const long double bin = std::floor(position(num::bits_of(amax), range));
  return static_cast<int>(std::min(std::max(bin, 0.0L), static_cast<long double>(range.bins - 1)));
}

struct Histogram {
  std::vector<int64_t> counts;
  float largest = 0;
  bool operator==(const Histogram&) const = default;
};

Histogram by_loops(const StridedTensor& x, int block, const Range& range) {
  Histogram out{std::vector<int64_t>(static_cast<size_t>(range.bins)), 0};
  const int64_t cols = x.view.last(), n = static_cast<int64_t>(x.values.size());
  for (int64_t row = 0; row < n; row += cols) {
    for (int64_t first = 0; first < cols; first += block) {
      float amax = 0;
      for (int64_t i = first; i < std::min(first + block, cols); ++i)
        amax = std::max(amax, std::fabs(x.values[static_cast<size_t>(row + i)]));
      if (amax > 0) ++out.counts[static_cast<size_t>(bin_of(amax, range))];
      out.largest = std::max(out.largest, amax);
    }
  }
  return out;
}

std::vector<uint32_t> edges_of(const Range& range) { return calib::log2_edges(range.lo, range.hi, range.bins); }

Histogram by_op(const Execution& execution, const TensorView& x, int block, const Range& range, const std::vector<uint32_t>& edges) {
  Histogram out{std::vector<int64_t>(static_cast<size_t>(range.bins)), 0};
  call(cpu_ops().log2_histogram, execution, Log2HistogramArgs{&x, block, edges.data(), range.bins, out.counts.data(), &out.largest});
  return out;
}

template <class Body>
void for_each_execution(Body&& body) {
  for (int target = 0; target < cpu_target_count(); ++target) {
    for (const int threads : {1, 2, 7}) {
      Execution execution;
      execution.set_cpu_target(target);
      execution.set_threads(threads);
      INFO(cpu_target_name(target) << ", " << threads << " threads");
      body(execution);
    }
  }
}

constexpr Range kRanges[] = {{-40, 40, 512},    {-20, 20, 128},    {-10, 10, 512},     {-40, 40, 65536},    {-40, 40, 1},
                             {-40, 40, 2},      {-149, 128, 277},  {-150, 129, 65536}, {-4000, -2000, 512}, {200, 300, 8},
                             {-0.5, 0.5, 4096}, {-1.1, 3.7, 1000}, {-160, 160, 320},   {0, 0.001, 4096}};

}  // namespace

TEST_CASE("each edge is the smallest float32 of its bin", "[actmax]") {
  for (const Range& range : kRanges) {
    CAPTURE(range.lo, range.hi, range.bins);
    const std::vector<uint32_t> edges = edges_of(range);
    REQUIRE(edges.size() == static_cast<size_t>(range.bins - 1));
    int64_t wrong = 0;
    for (int k = 1; k < range.bins; ++k) {
      const uint32_t edge = edges[static_cast<size_t>(k - 1)];
      wrong += edge < 1 || edge > num::kInfBits;
      if (edge < num::kInfBits) wrong += !(position(edge, range) >= k);
      if (edge > 1) wrong += !(position(edge - 1, range) < k);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("edges at powers of two are those powers", "[actmax]") {
  const std::vector<uint32_t> edges = calib::log2_edges(-40, 40, 512);
  for (int k = 32; k < 512; k += 32) CHECK(num::from_bits(edges[static_cast<size_t>(k - 1)]) == num::pow2(k / 32 * 5 - 40));
}

TEST_CASE("the histogram is the same by plain loops, on every target and thread count, for every dtype and layout", "[actmax][parity]") {
  Random random(31);
  const std::vector<int64_t> shapes[] = {{}, {1}, {15}, {16}, {3, 41}, {5, 3, 64}, {7, 1}, {2, 96, 33}};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16, Dtype::kF64}) {
    for (int layout = 0; layout < static_cast<int>(Layout::kCount); ++layout) {
      for (const std::vector<int64_t>& shape : shapes) {
        if (shape.empty() && layout != 0) continue;
        const StridedTensor x = make_strided(dtype, shape, static_cast<Layout>(layout), random,
                                             [](Random& r) { return r.chance(0.3) ? 0.0 : r.normal() * std::exp2(r.uniform(-20, 12)); });
        for (const int block : {16, 32}) {
          const Range& range = kRanges[random.below(3)];
          CAPTURE(dtype_name(dtype), layout, shape, block, range.bins);
          const std::vector<uint32_t> edges = edges_of(range);
          const Histogram expected = by_loops(x, block, range);
          for_each_execution([&](const Execution& execution) { CHECK(by_op(execution, x.view, block, range, edges) == expected); });
        }
      }
    }
  }
}

TEST_CASE("the histogram of many chunks, whole and ragged rows, all magnitudes", "[actmax][parity]") {
  Random random(32);
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{300, 10240}, {37, 70001}, {1, 2000003}}) {
    const StridedTensor x = make_strided(Dtype::kF32, shape, Layout::kContiguous, random, [](Random& r) {
      return static_cast<double>(num::from_bits(static_cast<uint32_t>(r.below(num::kInfBits))));
    });
    for (const Range& range : {kRanges[0], kRanges[6], kRanges[10]}) {
      CAPTURE(shape, range.bins);
      const std::vector<uint32_t> edges = edges_of(range);
      const Histogram expected = by_loops(x, 16, range);
      for_each_execution([&](const Execution& execution) { CHECK(by_op(execution, x.view, 16, range, edges) == expected); });
    }
  }
}

// So many blocks a thread that each number has a counter of its own (op_log2_histogram.cpp); one of seven threads has fewer.
TEST_CASE("the histogram of many blocks of half types, all numbers", "[actmax][parity]") {
  Random random(34);
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16}) {
    const uint32_t end = dtype == Dtype::kBf16 ? 0x7F80 : 0x7C00;
    uint32_t next = 0;  // each number once at least, alone in its block; zeros
    const StridedTensor x = make_strided(dtype, {700001, 1}, Layout::kContiguous, random, [&](Random& r) {
      const auto half = static_cast<uint16_t>(next < end ? next++ : r.below(end));
      const float value = dtype == Dtype::kBf16 ? num::bf16_to_f32(half) : num::f16_to_f32(half);
      return static_cast<double>(r.chance(0.1) ? 0.0f : r.chance(0.5) ? -value : value);
    });
    for (const Range& range : {kRanges[0], kRanges[1], kRanges[10]}) {
      CAPTURE(dtype_name(dtype), range.bins);
      const std::vector<uint32_t> edges = edges_of(range);
      const Histogram expected = by_loops(x, 16, range);
      for_each_execution([&](const Execution& execution) { CHECK(by_op(execution, x.view, 16, range, edges) == expected); });
    }
    const std::vector<uint32_t> edges = edges_of(kRanges[0]);
    for (const double wrong : {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
      StridedTensor flawed = make_strided(dtype, {700001, 1}, Layout::kContiguous, random, [](Random& r) { return r.normal(); });
      set_element(flawed.view, 700000, wrong);
      Execution execution;
      execution.set_threads(2);
      std::vector<int64_t> counts(512, 5);
      float largest = 0.25f;
      char message[kMessageSize] = "";
      const Log2HistogramArgs args{&flawed.view, 16, edges.data(), 512, counts.data(), &largest};
      CHECK(cpu_ops().log2_histogram(execution, args, message) == Status::kNotFinite);
      CHECK(std::string(message).find("x[700000]") == 0);
      CHECK((counts == std::vector<int64_t>(512, 5) && largest == 0.25f));
    }
  }
}

TEST_CASE("the histogram of many blocks of half types, rows with a short block", "[actmax][parity]") {
  Random random(35);
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16}) {
    const StridedTensor x = make_strided(dtype, {3, 1500021}, Layout::kContiguous, random,
                                         [](Random& r) { return r.chance(0.5) ? 0.0 : r.normal() * std::exp2(r.below(20) - 10.0); });
    const std::vector<uint32_t> edges = edges_of(kRanges[1]);
    CAPTURE(dtype_name(dtype));
    Execution one_thread;
    one_thread.set_threads(1);
    CHECK(by_op(one_thread, x.view, 16, kRanges[1], edges) == by_loops(x, 16, kRanges[1]));
  }
}

TEST_CASE("the histogram of every float32 near an edge", "[actmax]") {
  for (const Range& range : kRanges) {
    StridedTensor x;
    const std::vector<uint32_t> edges = edges_of(range);
    for (const uint32_t edge : edges) {
      for (const uint32_t bits : {edge - 1, edge, edge + 1}) {
        if (bits < num::kInfBits) x.values.push_back(num::from_bits(bits));
      }
    }
    if (x.values.empty()) continue;
    const int64_t shape[2] = {static_cast<int64_t>(x.values.size()), 1};  // each its own block
    x.view = make_view(x.values.data(), Dtype::kF32, 2, shape);
    CAPTURE(range.lo, range.hi, range.bins);
    CHECK(by_op(Execution(), x.view, 16, range, edges) == by_loops(x, 16, range));
  }
}

TEST_CASE("a histogram of values that are not finite changes nothing and names the first", "[actmax]") {
  Random random(33);
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{40, 64}, {40, 65}}) {
      StridedTensor x = make_strided(Dtype::kF32, shape, Layout::kTransposed, random, [](Random& r) { return r.normal(); });
      set_element(x.view, 1999, static_cast<double>(wrong));
      set_element(x.view, 2001, static_cast<double>(wrong));
      const std::vector<uint32_t> edges = calib::log2_edges(-40, 40, 512);
      for_each_execution([&](const Execution& execution) {
        std::vector<int64_t> counts(512, 5);
        float largest = 0.25f;
        char message[kMessageSize] = "";
        const Log2HistogramArgs args{&x.view, 16, edges.data(), 512, counts.data(), &largest};
        CHECK(cpu_ops().log2_histogram(execution, args, message) == Status::kNotFinite);
        CHECK(std::string(message).find("x[1999]") == 0);
        CHECK(counts == std::vector<int64_t>(512, 5));
        CHECK(largest == 0.25f);
      });
    }
  }
}
