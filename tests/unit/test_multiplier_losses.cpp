// The losses of the multiplier search against plain loops, for every quantizer, error, layout and dtype; the same bits for any target and thread count.
#include <cmath>
#include <limits>
#include <string>

#include "core/backends.h"
#include "core/ops.h"
#include "num/e2m1.h"
#include "num/e5m2.h"
#include "num/scale.h"
#include "parity/strided.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

// docs/numerics.md 5, line by line.
float quantized(const AmaxQuantizer& quantizer, float x, float amax) {
  const float tiny = 0x1p-24f;
  const auto scaled = [&](float largest, auto&& round) {
    const float s = largest * (1.0f / (amax <= tiny ? 1.0f : amax));
    return round(std::clamp(x * s, -largest, largest)) * (1.0f / s);
  };
  switch (quantizer.format) {
    case AmaxFormat::kInt: {
      if (amax <= tiny) return 0.0f;
      const float s = quantizer.hi / amax;
      return std::clamp(std::nearbyint(x * s), quantizer.lo, quantizer.hi) / s;
    }
    case AmaxFormat::kE4m3: return scaled(448.0f, [](float y) { return num::e4m3_value(num::e4m3_code(y)); });
    case AmaxFormat::kE5m2: return scaled(57344.0f, [](float y) { return num::e5m2_value(num::e5m2_code(y)); });
    case AmaxFormat::kE2m1: return scaled(6.0f, [](float y) { return num::e2m1_value(num::e2m1_code(y)); });
    case AmaxFormat::kNvfp4: break;
  }
  const float s2 = quantizer.global_amax / 2688.0f;
  const float s = num::e4m3_magnitude(num::code_of_amax(amax, quantizer.global_amax, 448.0f)) * s2;
  return num::e2m1_value(num::e2m1_code(x / s)) * s;
}

double error_of(ErrorKind kind, double power, double d) {
  if (kind == ErrorKind::kSquared) return d * d;
  return kind == ErrorKind::kAbsolute ? std::fabs(d) : std::pow(std::fabs(d), power);
}

// A tensor whose axes in `mask` are channels with an amax each.
struct Problem {
  StridedTensor x;
  AmaxQuantizer quantizer;
  ErrorKind error;
  std::vector<float> amax, multipliers;
  int64_t strides[kMaxNdim] = {}, channels = 1;

  MultiplierLossesArgs args(double* losses) const {
    MultiplierLossesArgs args{};
    args.x = &x.view;
    args.name = "x";
    args.quantizer = &quantizer;
    args.amax = {amax.data(), channels, {}};
    std::copy(strides, strides + kMaxNdim, args.amax.strides);
    std::copy(strides, strides + kMaxNdim, args.channel_strides);
    args.channels = channels;
    args.multipliers = multipliers.data();
    args.multiplier_count = static_cast<int64_t>(multipliers.size());
    args.error = error;
    args.power = 1.7;
    args.losses = losses;
    return args;
  }
  int64_t channel_of(int64_t flat) const {
    int64_t channel = 0;
    for (int d = x.view.ndim - 1; d >= 0; --d) {
      channel += flat % x.view.shape[d] * strides[d];
      flat /= x.view.shape[d];
    }
    return channel;
  }
};

// Normal values among zeros of both signs, denormals, values half-way between levels, and some that every scale clips.
double any_value(Random& random, Dtype dtype) {
  switch (random.below(12)) {
    case 0: return 0.0;
    case 1: return -0.0;
    case 2: return random.normal() * (dtype == Dtype::kF16 ? 0x1p-22 : 0x1p-140);
    case 3: return static_cast<double>(random.below(65) - 32) * 0.125;
    case 4: return dtype == Dtype::kF16 ? random.normal() * 3e4 / 6 : random.normal() * 1e25;
    default: return random.normal();
  }
}

Problem make(Dtype dtype, const std::vector<int64_t>& shape, Layout layout, int mask, const AmaxQuantizer& quantizer, ErrorKind error,
             Random& random) {
  Problem problem{make_strided(dtype, shape, layout, random, [dtype](Random& r) { return any_value(r, dtype); }), quantizer, error, {}, {}};
  for (int d = static_cast<int>(shape.size()) - 1; d >= 0; --d) {
    if (!(mask >> d & 1)) continue;
    problem.strides[d] = shape[static_cast<size_t>(d)] > 1 ? problem.channels : 0;
    problem.channels *= shape[static_cast<size_t>(d)];
  }
  for (int64_t c = 0; c < problem.channels; ++c)
    problem.amax.push_back(random.chance(0.1) ? 0.0f : random.chance(0.3) ? 4.0f : static_cast<float>(random.uniform(0.5, 4)));
  const int64_t counts[] = {1, 5, 17, 39};
  for (int64_t m = 0, count = counts[random.below(4)]; m < count; ++m)
    problem.multipliers.push_back(0.25f + 0.125f * static_cast<float>(m));
  return problem;
}

std::vector<double> by_loops(const Problem& problem) {
  std::vector<double> losses(static_cast<size_t>(problem.channels) * problem.multipliers.size());
  for (size_t m = 0; m < problem.multipliers.size(); ++m) {
    for (size_t i = 0; i < problem.x.values.size(); ++i) {
      const int64_t c = problem.channel_of(static_cast<int64_t>(i));
      const float x = problem.x.values[i],
                  q = quantized(problem.quantizer, x, problem.amax[static_cast<size_t>(c)] * problem.multipliers[m]);
      losses[m * static_cast<size_t>(problem.channels) + static_cast<size_t>(c)] +=
          error_of(problem.error, 1.7, static_cast<double>(x) - static_cast<double>(q));
    }
  }
  return losses;
}

std::vector<double> by_op(const Execution& execution, const Problem& problem) {
  std::vector<double> losses(static_cast<size_t>(problem.channels) * problem.multipliers.size());
  call(cpu_ops().multiplier_losses, execution, problem.args(losses.data()));
  return losses;
}

bool close(const std::vector<double>& a, const std::vector<double>& b) {
  bool good = a.size() == b.size();
  for (size_t i = 0; good && i < a.size(); ++i) good = std::fabs(a[i] - b[i]) <= 1e-12 * b[i];
  return good;
}

void check(const Problem& problem) {
  const std::vector<double> expected = by_loops(problem);
  std::vector<double> first;
  for (int target = 0; target < cpu_target_count(); ++target) {
    for (const int threads : {1, 2, 7}) {
      Execution execution;
      execution.set_cpu_target(target);
      execution.set_threads(threads);
      const std::vector<double> losses = by_op(execution, problem);
      if (first.empty()) first = losses;
      CHECK(close(losses, expected));
      CHECK(std::memcmp(losses.data(), first.data(), first.size() * sizeof(double)) == 0);
    }
  }
}

const AmaxQuantizer kQuantizers[] = {{AmaxFormat::kInt, -127, 127, 0}, {AmaxFormat::kInt, -8, 7, 0},    {AmaxFormat::kInt, 0, 255, 0},
                                     {AmaxFormat::kInt, -1, 1, 0},     {AmaxFormat::kE4m3, 0, 0, 0},    {AmaxFormat::kE5m2, 0, 0, 0},
                                     {AmaxFormat::kE2m1, 0, 0, 0},     {AmaxFormat::kNvfp4, 0, 0, 5.0f}};
constexpr ErrorKind kErrors[] = {ErrorKind::kSquared, ErrorKind::kAbsolute, ErrorKind::kPower};

}  // namespace

TEST_CASE("losses are those of plain loops, the same bits everywhere", "[mse][parity]") {
  Random random(41);
  const std::vector<int64_t> shapes[] = {{}, {7}, {6, 33}, {4, 5, 19}, {3, 1, 16}, {64, 1}};
  for (const std::vector<int64_t>& shape : shapes) {
    for (int mask = 0; mask < 1 << shape.size(); ++mask) {
      for (const AmaxQuantizer& quantizer : kQuantizers) {
        const Dtype dtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF16, Dtype::kF64};
        const Dtype dtype = dtypes[random.below(4)];
        const Layout layout = shape.empty() ? Layout::kContiguous : static_cast<Layout>(random.below(static_cast<int64_t>(Layout::kCount)));
        const ErrorKind error = kErrors[random.below(3)];
        CAPTURE(shape, mask, static_cast<int>(quantizer.format), quantizer.hi, static_cast<int>(error), dtype_name(dtype),
                static_cast<int>(layout));
        check(make(dtype, shape, layout, mask, quantizer, error, random));
      }
    }
  }
}

TEST_CASE("losses of runs of every length", "[mse][parity]") {
  Random random(45);
  for (int64_t length = 1; length <= 140; length += length < 70 ? 1 : 7) {
    for (const int mask : {1, 2}) {
      CAPTURE(length, mask);
      const AmaxQuantizer& quantizer = kQuantizers[random.below(8)];
      const std::vector<int64_t> shape = mask == 1 ? std::vector<int64_t>{5, length} : std::vector<int64_t>{3, length};
      check(make(Dtype::kF32, shape, Layout::kContiguous, mask, quantizer, kErrors[random.below(3)], random));
    }
  }
}

TEST_CASE("an amax for each element of a single channel", "[mse][parity]") {
  Random random(46);
  for (const int64_t cols : {1, 13, 100}) {
    Problem problem = make(Dtype::kF32, {30, cols}, Layout::kContiguous, 2, kQuantizers[0], ErrorKind::kSquared, random);
    MultiplierLossesArgs args = problem.args(nullptr);
    std::vector<double> losses(problem.multipliers.size()), expected = losses, first;
    const std::vector<double> by_column = by_loops(problem);
    for (size_t i = 0; i < by_column.size(); ++i) expected[i / static_cast<size_t>(problem.channels)] += by_column[i];
    std::fill_n(args.channel_strides, kMaxNdim, 0);
    args.channels = 1;
    for (int target = 0; target < cpu_target_count(); ++target) {
      Execution execution;
      execution.set_cpu_target(target);
      std::fill(losses.begin(), losses.end(), 0.0);
      args.losses = losses.data();
      call(cpu_ops().multiplier_losses, execution, args);
      if (first.empty()) first = losses;
      CHECK(close(losses, expected));
      CHECK(losses == first);
    }
  }
}

TEST_CASE("losses of tensors of many parts", "[mse][parity]") {
  Random random(42);
  for (const auto& [shape, mask] : {std::pair<std::vector<int64_t>, int>{{700, 513}, 0},
                                    {{700, 513}, 1},
                                    {{700, 513}, 2},
                                    {{70, 50, 101}, 5},
                                    {{20011, 16}, 1},
                                    {{4096, 64}, 1},
                                    {{90, 1024}, 2},
                                    {{1, 300001}, 1},
                                    {{16, 20011}, 2}}) {
    CAPTURE(shape, mask);
    check(make(Dtype::kF32, shape, Layout::kContiguous, mask, kQuantizers[0], ErrorKind::kSquared, random));
  }
}

TEST_CASE("what is not finite changes no loss and is named", "[mse]") {
  Random random(43);
  for (const int mask : {0, 1, 2}) {
    Problem problem = make(Dtype::kF32, {40, 64}, Layout::kTransposed, mask, kQuantizers[0], ErrorKind::kSquared, random);
    set_element(problem.x.view, 1234, std::numeric_limits<double>::infinity());
    std::vector<double> losses(static_cast<size_t>(problem.channels) * problem.multipliers.size(), 3.0), before = losses;
    char message[kMessageSize] = "";
    CHECK(cpu_ops().multiplier_losses(Execution(), problem.args(losses.data()), message) == Status::kNotFinite);
    CHECK(std::string(message) == "x[1234] is infinite");
    CHECK(losses == before);
  }
}

TEST_CASE("given values and plain errors are summed by channel", "[mse]") {
  Random random(44);
  for (const int mask : {0, 1, 2, 3, 5, 7}) {
    Problem problem = make(Dtype::kF32, {4, 9, 1100}, Layout::kSliced, mask, kQuantizers[4], ErrorKind::kSquared, random);
    std::vector<float> q(problem.x.values.size());
    AmaxQuantizeArgs quantize{&problem.x.view, &problem.quantizer, problem.args(nullptr).amax, q.data()};
    call(cpu_ops().amax_quantize, Execution(), quantize);
    int64_t wrong = 0;
    for (size_t i = 0; i < q.size(); ++i) {
      wrong += q[i] != quantized(problem.quantizer, problem.x.values[i],
                                 problem.amax[static_cast<size_t>(problem.channel_of(static_cast<int64_t>(i)))]);
    }
    CHECK(wrong == 0);
    problem.multipliers = {1.0f};
    std::vector<double> losses(static_cast<size_t>(problem.channels)), plain = losses, sums = losses;
    MultiplierLossesArgs args = problem.args(losses.data());
    args.quantizer = nullptr;
    args.quantized = q.data();
    call(cpu_ops().multiplier_losses, Execution(), args);
    CHECK(close(losses, by_loops(problem)));
    StridedTensor errors = make_strided(Dtype::kF32, {4, 9, 1100}, Layout::kContiguous, random, [](Random& r) { return r.uniform(0, 1); });
    for (size_t i = 0; i < q.size(); ++i)
      sums[static_cast<size_t>(problem.channel_of(static_cast<int64_t>(i)))] += static_cast<double>(errors.values[i]);
    args.x = &errors.view;
    args.quantized = nullptr;
    args.error = ErrorKind::kPlain;
    args.losses = plain.data();
    call(cpu_ops().multiplier_losses, Execution(), args);
    CHECK(close(plain, sums));
  }
}
