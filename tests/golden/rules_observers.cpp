// Rules of the observers: ranges are judged by their float64 error, what follows from a range only where the range is the expected one.
#include <algorithm>
#include <numeric>

#include "golden/rules.h"
#include "support/oracle.h"

namespace nvfp4cal::test {

namespace {

using Floats = std::vector<float>;

// Columns in the order of their group numbers.
std::vector<size_t> column_order(const Case& one, size_t cols) {
  std::vector<size_t> order(cols);
  std::iota(order.begin(), order.end(), size_t{0});
  if (one.has_input("g_idx")) {
    const std::vector<double> groups = one.input("g_idx").numbers();
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return groups.at(a) < groups.at(b); });
  }
  return order;
}

// The elements that share a scale, in any order; groups in the order of the results.
std::vector<Floats> groups_of(const Case& one) {
  const GoldenTensor& x = one.input("x");
  const Floats values = x.floats();
  const std::string strategy = one.param<std::string>("strategy");
  if (strategy == "tensor") return {values};
  const size_t cols = static_cast<size_t>(x.shape.back()), rows = values.size() / cols;
  size_t height = 1, width = cols, period = rows;
  if (strategy == "block") {
    const auto block = one.param<std::vector<size_t>>("block_structure");
    height = block.at(0);
    width = block.at(1);
  } else if (strategy == "token") {
    period = static_cast<size_t>(x.shape.at(x.shape.size() - 2));
  } else if (strategy != "channel") {
    width = one.param<size_t>("group_size");
  }
  const size_t across = (cols + width - 1) / width;
  const std::vector<size_t> order = column_order(one, cols);
  std::vector<Floats> groups((period + height - 1) / height * across);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t c = 0; c < cols; ++c) groups[row % period / height * across + c / width].push_back(values[row * cols + order[c]]);
  }
  return groups;
}

// How a range becomes a scale and values become levels.
struct Format {
  std::string name;
  bool symmetric;
  double norm;
  float lo, hi;

  explicit Format(const Case& one)
      : name(one.param<std::string>("format")), symmetric(one.param("symmetric", true)), norm(one.param("norm", 2.4)) {
    hi = name == "int8" ? 127.0f : name == "int4" ? 7.0f : name == "fp8" ? 448.0f : 6.0f;
    lo = name == "int8" ? -128.0f : name == "int4" ? -8.0f : -hi;
  }

  static float snapped(float y) { return static_cast<float>(e4m3_value_of(nearest_e4m3(static_cast<double>(y)))); }

  float fake(float x, float scale, float zero) const {
    const float y = std::clamp(x / scale + zero, lo, hi), magnitude = std::fabs(y);
    const float q = name == "fp8"   ? std::copysign(snapped(magnitude), y)
                    : name == "fp4" ? std::copysign(static_cast<float>(e2m1_level_of(static_cast<double>(magnitude))), y)
                                    : std::nearbyint(y);
    return (q - zero) * scale;
  }

  double error(const Floats& x, float scale, float zero, double power) const {
    double sum = 0;
    for (const float value : x)
      sum += std::pow(std::fabs(static_cast<double>(fake(value, scale, zero)) - static_cast<double>(value)), power);
    return sum;
  }

  // sum |fake(x) - x|^norm with the scale of a range: float32 operations, float64 sum. global_scale 0: none.
  double error_of_range(const Floats& x, float min, float max, float global_scale) const {
    const float least = std::min(min, 0.0f), most = std::max(max, 0.0f);
    float scale = symmetric ? std::max(-least, most) / ((hi - lo) / 2) : (most - least) / (hi - lo), zero = 0;
    if (!symmetric && scale != 0) zero = std::nearbyint(std::clamp(lo - least / scale, lo, hi));
    if (global_scale > 0) scale = snapped(global_scale * scale);
    if (scale == 0) scale = global_scale > 0 ? 0.125f : 0x1p-23f;
    if (global_scale > 0) scale = scale / global_scale;
    return error(x, scale, zero, norm);
  }
};

bool searches_with_global_scale(const Case& one) { return one.param<nlohmann::json>("global_scale", "none") != "none"; }

// Per entry: the range is the expected one, bit for bit. Of a stream, the last range.
std::vector<bool> equal_ranges(const Check& check) {
  const Floats min = check.output("min").floats(), max = check.output("max").floats();
  Floats wanted_min, wanted_max;
  if (check.one().expects("min_max_after_each")) {
    const Floats all = check.one().expected("min_max_after_each").floats();
    const int64_t n = static_cast<int64_t>(min.size());
    if (all.size() < 2 * min.size()) throw std::runtime_error("too few ranges are expected");
    wanted_min.assign(all.end() - 2 * n, all.end() - n);
    wanted_max.assign(all.end() - n, all.end());
  } else {
    wanted_min = check.one().expected("min").floats();
    wanted_max = check.one().expected("max").floats();
  }
  std::vector<bool> equal;
  for (size_t g = 0; g < min.size(); ++g) equal.push_back(min[g] == wanted_min.at(g) && max[g] == wanted_max.at(g));
  return equal;
}

bool all_of(const std::vector<bool>& values) { return std::find(values.begin(), values.end(), false) == values.end(); }

// min and max: the expected bits, or an error as small. agreement.outside entries ended their search elsewhere.
void range(Check& check) {
  const Case& one = check.one();
  check.compared(0);
  const Floats min = check.output("min").floats(), max = check.output("max").floats(), wanted_min = one.expected("min").floats(),
               wanted_max = one.expected("max").floats();
  const std::vector<Floats> groups = groups_of(one);
  if (groups.size() != min.size() || wanted_min.size() != min.size() || wanted_max.size() != min.size())
    return check.fail("not one range a group");
  const Format format(one);
  const float global = searches_with_global_scale(one) ? one.expected("global_scale").floats().at(0) : 0.0f;
  Tally tally;
  for (size_t g = 0; g < min.size(); ++g) {
    const bool equal = min[g] == wanted_min[g] && max[g] == wanted_max[g];
    const bool good = equal || format.error_of_range(groups[g], min[g], max[g], global) <=
                                   format.error_of_range(groups[g], wanted_min[g], wanted_max[g], global) * (1 + 1e-5);
    tally.add(good, g, static_cast<double>(max[g]), static_cast<double>(wanted_max[g]));
    if (!equal) check.differ();
  }
  tally.report(check, one.agreed("outside"));
}

// The range of the search for a global scale, judged in the same way over the whole tensor.
void global_range(Check& check) {
  const Case& one = check.one();
  const float min = check.output("global_min").floats().at(0), max = check.output("global_max").floats().at(0),
              wanted_min = one.expected("global_min").floats().at(0), wanted_max = one.expected("global_max").floats().at(0);
  if (min == wanted_min && max == wanted_max) return;
  check.differ();
  const Format format(one);
  const Floats x = one.input("x").floats();
  const auto error = [&](float lo, float hi) {
    const float reciprocal = 1.0f / std::max(-lo, hi);
    return format.error_of_range(x, lo, hi, 2688.0f * reciprocal);
  };
  Tally tally;
  tally.add(error(min, max) <= error(wanted_min, wanted_max) * (1 + 1e-5), 0, static_cast<double>(max), static_cast<double>(wanted_max));
  tally.report(check, one.agreed("outside"));
}

void averages(Check& check) {
  const Floats found = check.compared(0).floats(), wanted = check.expected().floats();
  Tally tally;
  for (size_t i = 0; i < wanted.size(); ++i) {
    tally.add(close(static_cast<double>(found[i]), static_cast<double>(wanted[i]), 1e-6), i, static_cast<double>(found[i]),
              static_cast<double>(wanted[i]));
    if (found[i] != wanted[i]) check.differ();
  }
  tally.report(check, check.one().agreed("outside"));
}

bool global_scale_is_close(const Check& check) {
  if (!check.one().expects("global_scale")) return true;
  return close(check.output("global_scale").numbers().at(0), check.one().expected("global_scale").numbers().at(0), 1e-6);
}

// Scales and zero points; a global scale that follows from other ranges leaves no two-level scale to compare.
void where_ranges_equal(Check& check) {
  const std::vector<double> found = check.compared(0).numbers(), wanted = check.expected().numbers();
  std::vector<bool> equal = equal_ranges(check);
  if (!global_scale_is_close(check)) equal.assign(equal.size(), false);
  Tally tally;
  for (size_t g = 0; g < wanted.size(); ++g) {
    if (equal.at(g)) {
      tally.add(close(found[g], wanted[g], check.number(1)), g, found[g], wanted[g]);
    } else {
      check.differ();
    }
  }
  tally.report(check);
}

void global_scale(Check& check) {
  const Case& one = check.one();
  const bool optimized = one.param<nlohmann::json>("global_scale", "none") == "optimize";
  const bool comparable = optimized ? check.output("global_max").floats() == one.expected("global_max").floats() &&
                                          check.output("global_min").floats() == one.expected("global_min").floats()
                                    : searches_with_global_scale(one) || all_of(equal_ranges(check));
  if (!comparable) return check.differ();
  if (!global_scale_is_close(check)) check.fail("another global scale");
}

// What the scales are good for: mean squared error after fake quantization, the published losses among them.
void fake_quant_mse(Check& check) {
  const Case& one = check.one();
  const Format format(one);
  const std::vector<Floats> groups = groups_of(one);
  Floats scale = check.output("scale").floats();
  const std::vector<double> zero = check.output("zero_point").numbers();
  if (one.param<std::string>("strategy") == "tensor_group") {
    for (float& value : scale) value = value / check.output("global_scale").floats().at(0);
  }
  double sum = 0;
  for (size_t g = 0; g < groups.size(); ++g) sum += format.error(groups[g], scale.at(g), static_cast<float>(zero.at(g)), 2.0);
  const double found = sum / static_cast<double>(one.input("x").elements()), wanted = one.param<double>("fake_quant_mse");
  const bool equal = !one.expects("min") || all_of(equal_ranges(check));
  Tally tally;
  tally.add(std::fabs(found - wanted) <= std::max(1e-10, (equal ? 1e-5 : 1e-4) * wanted), 0, found, wanted);
  tally.report(check);
}

}  // namespace

const Rules& observer_rules() {
  static const Rules kRules = {{"range", range},
                               {"global_range", global_range},
                               {"averages", averages},
                               {"where_ranges_equal", where_ranges_equal},
                               {"global_scale", global_scale},
                               {"fake_quant_mse", fake_quant_mse}};
  return kRules;
}

}  // namespace nvfp4cal::test
