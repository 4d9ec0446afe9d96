// The observers' search against plain loops in double precision, for every layout, format and norm; the same outcome for any target and thread count.
#include <cmath>
#include <limits>

#include "core/backends.h"
#include "core/ops.h"
#include "parity/strided.h"
#include "support/catch.h"
#include "support/oracle.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

struct Problem {
  StridedTensor x;
  GroupLayout layout{};
  std::vector<int64_t> columns;
  FakeFormat format;
  bool symmetric, fp8;
  double norm;
  std::vector<float> min, max, factors, global_scales;

  size_t groups() const { return static_cast<size_t>(layout.row_groups * layout.col_groups()); }
  size_t steps() const { return factors.size(); }
  size_t group_of(int64_t flat) const {
    const int64_t row = flat / layout.cols, column = flat % layout.cols;
    const int64_t place = columns.empty() ? column : std::find(columns.begin(), columns.end(), column) - columns.begin();
    return static_cast<size_t>(row / layout.row_span % layout.row_groups * layout.col_groups() + place / layout.width);
  }
};

double any_value(Random& random, Dtype dtype) {
  switch (random.below(12)) {
    case 0: return 0.0;
    case 1: return -0.0;
    case 2: return random.normal() * (dtype == Dtype::kF16 ? 0x1p-22 : 0x1p-140);
    case 3: return static_cast<double>(random.below(17) - 8) * 0.25;
    default: return random.normal();
  }
}

// Layouts as the strategies make them: tensor, channel, group (also permuted), block, activation groups, token.
Problem make(int strategy, Random& random) {
  const Dtype dtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF16, Dtype::kF64};
  const Dtype dtype = dtypes[random.below(4)];
  const int64_t widths[] = {1, 2, 7, 16, 33, 128};
  const int64_t width = widths[random.below(6)], rows = 1 + random.below(40), cols = width * (1 + random.below(5));
  std::vector<int64_t> shape = {rows, cols};
  if (strategy == 4 || strategy == 5) shape.insert(shape.begin(), 1 + random.below(6));
  const double magnitude = dtype == Dtype::kF16 || random.chance(0.7) ? 1.0 : std::pow(10.0, random.uniform(-25, 25));
  const auto layout = static_cast<Layout>(random.below(static_cast<int64_t>(Layout::kCount)));
  Problem p{make_strided(dtype, shape, layout, random, [&](Random& r) { return any_value(r, dtype) * magnitude; }),
            {},
            {},
            static_cast<FakeFormat>(random.below(4)),
            true,
            false,
            2.4,
            {},
            {},
            {},
            {}};
  p.symmetric = p.format >= FakeFormat::kFp8 || random.chance(0.5);
  const double norms[] = {2.4, 2.4, 2.0, 1.0, 3.0, 1.2, 0.5, 4.0};
  p.norm = norms[random.below(8)];
  p.layout = {cols, 1, 1, cols, nullptr};
  if (strategy == 0)
    p.layout.cols = p.layout.width = std::max<int64_t>(1, rows * cols / (1 + random.below(3)));  // the last row may be short
  if (strategy == 1) p.layout.row_groups = rows;
  if (strategy == 2) p.layout = {cols, 1, rows, width, nullptr};
  if (strategy == 3) {
    const int64_t height = 1 + random.below(9);
    p.layout = {cols, height, (rows + height - 1) / height, 1 + random.below(20), nullptr};
  }
  if (strategy == 4) p.layout = {cols, 1, 1, width, nullptr};
  if (strategy == 5) p.layout.row_groups = rows;
  if (strategy == 2 && random.chance(0.4)) {
    for (int64_t c = 0; c < cols; ++c) p.columns.push_back(c);
    for (int64_t c = cols - 1; c > 0; --c)
      std::swap(p.columns[static_cast<size_t>(c)], p.columns[static_cast<size_t>(random.below(c + 1))]);
  }
  p.min.assign(p.groups(), std::numeric_limits<float>::infinity());
  p.max.assign(p.groups(), -std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < p.x.values.size(); ++i) {
    const size_t g = p.group_of(static_cast<int64_t>(i));
    p.min[g] = std::min(p.min[g], p.x.values[i]);
    p.max[g] = std::max(p.max[g], p.x.values[i]);
  }
  const double step = random.chance(0.3) ? 1e-6 : 0.06;  // the former: errors that a filter cannot tell apart
  for (int64_t k = 0, n = 1 + random.below(12); k < n; ++k) p.factors.push_back(static_cast<float>(1.0 - step * static_cast<double>(k)));
  const bool two_level = p.format == FakeFormat::kFp4 && random.chance(0.5);
  p.fp8 = two_level;
  p.global_scales.assign(p.steps(), two_level ? static_cast<float>(700.0 / magnitude) : 0.0f);
  return p;
}

float snapped_e4m3(float y) {
  float best = 0;
  for (int code = 0; code <= kCodes; ++code) {
    const float value = static_cast<float>(e4m3_value_of(code)), now = std::fabs(value - y), before = std::fabs(best - y);
    if (now < before || (now == before && code % 2 == 0)) best = value;
  }
  return best;
}

struct Scale {
  float scale, zero;
};

// docs/numerics.md 7.
Scale scale_of(const Problem& p, size_t group, size_t step) {
  const bool int8 = p.format == FakeFormat::kInt8, integer = int8 || p.format == FakeFormat::kInt4;
  const float hi = int8 ? 127.0f : integer ? 7.0f : p.format == FakeFormat::kFp8 ? 448.0f : 6.0f, lo = integer ? -hi - 1 : -hi;
  const float least = std::min(p.min[group] * p.factors[step], 0.0f), most = std::max(p.max[group] * p.factors[step], 0.0f);
  float scale = p.symmetric ? std::max(-least, most) / ((hi - lo) / 2) : (most - least) / (hi - lo), zero = 0;
  if (!p.symmetric && scale != 0) zero = std::nearbyint(std::clamp(lo - least / scale, lo, hi));
  if (p.global_scales[step] > 0) scale = p.global_scales[step] * scale;
  if (p.fp8) scale = snapped_e4m3(scale);
  if (scale == 0) scale = p.fp8 ? 0.125f : 0x1p-23f;
  return {p.global_scales[step] > 0 ? scale / p.global_scales[step] : scale, zero};
}

double error_of(const Problem& p, float x, const Scale& s) {
  const bool int8 = p.format == FakeFormat::kInt8, integer = int8 || p.format == FakeFormat::kInt4;
  const float hi = int8 ? 127.0f : integer ? 7.0f : p.format == FakeFormat::kFp8 ? 448.0f : 6.0f, lo = integer ? -hi - 1 : -hi;
  const float y = std::clamp(x / s.scale + s.zero, lo, hi), magnitude = std::fabs(y);
  const float level = integer                        ? std::nearbyint(y)
                      : p.format == FakeFormat::kFp8 ? std::copysign(snapped_e4m3(magnitude), y)
                                                     : std::copysign(static_cast<float>(e2m1_level_of(static_cast<double>(magnitude))), y);
  const float fake = (level - s.zero) * s.scale;
  return std::pow(std::fabs(static_cast<double>(fake) - static_cast<double>(x)), p.norm);
}

std::vector<double> errors_by_loops(const Problem& p) {
  std::vector<double> errors(p.groups() * p.steps());
  std::vector<Scale> scales;
  for (size_t g = 0; g < p.groups(); ++g) {
    for (size_t k = 0; k < p.steps(); ++k) scales.push_back(scale_of(p, g, k));
  }
  for (size_t i = 0; i < p.x.values.size(); ++i) {
    const size_t g = p.group_of(static_cast<int64_t>(i));
    for (size_t k = 0; k < p.steps(); ++k) errors[g * p.steps() + k] += error_of(p, p.x.values[i], scales[g * p.steps() + k]);
  }
  return errors;
}

struct Outcome {
  std::vector<int32_t> steps;
  std::vector<bool> improved;
  bool operator==(const Outcome&) const = default;
};

Outcome by_op(const Execution& execution, const Problem& p, int32_t at_once) {
  std::vector<GroupBest> best(p.groups(), kNoBest);
  Outcome outcome;
  GroupSearchArgs args{
      &p.x.view, p.layout, p.format,    p.symmetric, p.fp8, p.norm, p.min.data(), p.max.data(), p.factors.data(), p.global_scales.data(),
      0,         0,        best.data(), nullptr};
  args.layout.columns = p.columns.empty() ? nullptr : p.columns.data();
  for (int32_t first = 0; first < static_cast<int32_t>(p.steps()); first += args.steps) {
    bool improved[kLargestSteps] = {};
    args.first_step = first;
    args.steps = std::min(at_once, static_cast<int32_t>(p.steps()) - first);
    args.improved = improved;
    call(cpu_ops().group_search, execution, args);
    outcome.improved.insert(outcome.improved.end(), improved, improved + args.steps);
  }
  for (const GroupBest& one : best) outcome.steps.push_back(one.step);
  return outcome;
}

// The first of the least errors; sums in another order may tell near-ties apart otherwise.
void check_against_loops(const Problem& p, const Outcome& outcome) {
  const std::vector<double> errors = errors_by_loops(p);
  std::vector<bool> improved(p.steps());
  bool near_tie = false;
  int64_t wrong = 0;
  for (size_t g = 0; g < p.groups(); ++g) {
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t k = 0; k < p.steps(); ++k) {
      const double error = errors[g * p.steps() + k];
      near_tie = near_tie || (k > 0 && error != least && std::fabs(error - least) <= 1e-11 * least);
      if (!(error < least)) continue;
      least = error;
      best = k;
      improved[k] = true;
    }
    const size_t chosen = static_cast<size_t>(outcome.steps[g]);
    wrong += chosen != best && !(errors[g * p.steps() + chosen] <= least * (1 + 1e-11));
  }
  CHECK(wrong == 0);
  if (!near_tie) CHECK(outcome.improved == improved);
}

}  // namespace

TEST_CASE("the search finds the step of least error, the same for every target, thread count and number of steps at once",
          "[observer][parity]") {
  Random random(71);
  for (int round = 0; round < 240; ++round) {
    const int strategy = round % 6;
    const Problem p = make(strategy, random);
    CAPTURE(round, strategy, static_cast<int>(p.format), p.symmetric, p.fp8, p.norm, p.steps(), dtype_name(p.x.view.dtype));
    Outcome first;
    for (int target = 0; target < cpu_target_count(); ++target) {
      Execution execution;
      execution.set_cpu_target(target);
      execution.set_threads(target % 2 == 0 ? 2 : 1);
      const Outcome outcome = by_op(execution, p, static_cast<int32_t>(1 + random.below(kLargestSteps)));
      if (target == 0) first = outcome;
      CHECK(outcome == first);
    }
    check_against_loops(p, first);
  }
}

TEST_CASE("the search over tensors of many bands", "[observer][parity]") {
  Random random(72);
  for (const int strategy : {0, 1, 2, 3, 4, 5}) {
    CAPTURE(strategy);
    const std::vector<int64_t> shape = strategy >= 4 ? std::vector<int64_t>{3, 300, 256} : std::vector<int64_t>{901, 256};
    Problem p{make_strided(Dtype::kF32, shape, Layout::kContiguous, random, [](Random& r) { return r.normal(); }),
              {},
              {},
              FakeFormat::kInt4,
              strategy % 2 == 0,
              false,
              2.4,
              {},
              {},
              {},
              {}};
    const GroupLayout layouts[] = {{4096, 1, 1, 4096, nullptr}, {256, 1, 901, 256, nullptr}, {256, 1, 901, 64, nullptr},
                                   {256, 100, 10, 50, nullptr}, {256, 1, 1, 64, nullptr},    {256, 1, 300, 256, nullptr}};
    p.layout = layouts[strategy];
    p.min.assign(p.groups(), -3.0f);
    p.max.assign(p.groups(), 3.5f);
    for (int k = 0; k < 10; ++k) p.factors.push_back(1.0f - 0.05f * static_cast<float>(k));
    p.global_scales.assign(p.steps(), 0.0f);
    Outcome first;
    for (int target = 0; target < cpu_target_count(); ++target) {
      for (const int threads : {1, 2, 7}) {
        Execution execution;
        execution.set_cpu_target(target);
        execution.set_threads(threads);
        const Outcome outcome = by_op(execution, p, 5);
        if (first.steps.empty()) first = outcome;
        CHECK(outcome == first);
      }
    }
    check_against_loops(p, first);
  }
}
