// Observers against llm-compressor: ranges, scales, zero points and global scales of every case.
#include <algorithm>
#include <cmath>
#include <memory>

#include "golden/run.h"
#include "support/oracle.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

using Floats = std::vector<float>;

struct Destroy {
  void operator()(nvfp4cal_observer* handle) const { nvfp4cal_observer_destroy(handle); }
};
using Observer = std::unique_ptr<nvfp4cal_observer, Destroy>;

template <size_t n>
int32_t position_of(const std::string& name, const char* const (&names)[n]) {
  for (size_t i = 0; i < n; ++i) {
    if (name == names[i]) return static_cast<int32_t>(i);
  }
  FAIL("unknown: " << name);
  return -1;
}

constexpr const char* kKinds[] = {"memoryless_mse", "mse", "memoryless_minmax", "minmax", "static_minmax", "nvfp4_expanded_mse"};
constexpr const char* kFormats[] = {"int8", "int4", "fp8", "fp4"};
constexpr const char* kStrategies[] = {"tensor", "channel", "group", "block", "tensor_group", "token"};

template <class Set>
void set_number(const nlohmann::json& params, const char* key, Set&& set) {
  if (params.contains(key) && params.at(key).is_number()) REQUIRE_OK(set(params.at(key)));
}

Observer make_observer(const GoldenFamily& family, const nlohmann::json& one, const nvfp4cal_context* context) {
  const nlohmann::json& params = one.at("params");
  nvfp4cal_observer* h = nullptr;
  REQUIRE_OK(nvfp4cal_observer_create(&h));
  Observer observer(h);
  REQUIRE_OK(nvfp4cal_observer_set_context(h, context));
  const int32_t kind = position_of(params.at("observer"), kKinds);
  REQUIRE_OK(nvfp4cal_observer_set_kind(h, kind == 5 ? NVFP4CAL_OBSERVER_MEMORYLESS_MSE : kind));
  REQUIRE_OK(nvfp4cal_observer_set_format(h, position_of(params.at("format"), kFormats)));
  REQUIRE_OK(nvfp4cal_observer_set_strategy(h, position_of(params.at("strategy"), kStrategies)));
  REQUIRE_OK(nvfp4cal_observer_set_symmetric(h, params.at("symmetric").get<bool>()));
  if (one.at("inputs").contains("x0")) REQUIRE_OK(nvfp4cal_observer_set_observed(h, NVFP4CAL_OBSERVED_ACTIVATION));
  set_number(params, "group_size", [&](int32_t v) { return nvfp4cal_observer_set_group_size(h, v); });
  set_number(params, "maxshrink", [&](double v) { return nvfp4cal_observer_set_maxshrink(h, v); });
  set_number(params, "patience", [&](int32_t v) { return nvfp4cal_observer_set_patience(h, v); });
  set_number(params, "grid", [&](double v) { return nvfp4cal_observer_set_grid(h, v); });
  set_number(params, "norm", [&](double v) { return nvfp4cal_observer_set_norm(h, v); });
  set_number(params, "expand", [&](double v) { return nvfp4cal_observer_set_expand(h, v); });
  set_number(params, "averaging_constant", [&](double v) { return nvfp4cal_observer_set_averaging_constant(h, v); });
  if (params.contains("block_structure") && params.at("block_structure").is_array()) {
    REQUIRE_OK(nvfp4cal_observer_set_block_structure(h, params.at("block_structure").at(0), params.at("block_structure").at(1)));
  }
  const std::string global = params.value("global_scale", "none");
  if (global == "given") REQUIRE_OK(nvfp4cal_observer_set_global_scale(h, family.expected(one, "global_scale").floats().at(0)));
  if (global == "optimize") REQUIRE_OK(nvfp4cal_observer_set_optimize_global_scale(h, 1));
  return observer;
}

struct Results {
  Floats min, max, scale, global_scale, global_min, global_max;
  std::vector<int8_t> zero_point;
  std::vector<int64_t> shape;
};

Results results_of(const Observer& observer, bool two_level) {
  Results r;
  nvfp4cal_tensor min{}, max{};
  min.struct_size = max.struct_size = sizeof min;
  REQUIRE_OK(nvfp4cal_observer_compute_range(observer.get(), &min, &max));
  size_t n = 1;
  for (int32_t d = 0; d < min.ndim; ++d) n *= static_cast<size_t>(min.shape[d]);
  r.shape.assign(min.shape, min.shape + min.ndim);
  r.min.resize(n);
  r.max.resize(n);
  r.scale.resize(n);
  r.zero_point.resize(n);
  min = output_of(r.min, NVFP4CAL_DTYPE_F32);
  max = output_of(r.max, NVFP4CAL_DTYPE_F32);
  nvfp4cal_tensor scale = output_of(r.scale, NVFP4CAL_DTYPE_F32), zero_point = output_of(r.zero_point, NVFP4CAL_DTYPE_I8);
  REQUIRE_OK(nvfp4cal_observer_compute_range(observer.get(), &min, &max));
  REQUIRE_OK(nvfp4cal_observer_compute_scale(observer.get(), &scale, &zero_point));
  if (!two_level) return r;
  r.global_scale = r.global_min = r.global_max = {-1.0f};
  nvfp4cal_tensor global = output_of(r.global_scale, NVFP4CAL_DTYPE_F32), lo = output_of(r.global_min, NVFP4CAL_DTYPE_F32),
                  hi = output_of(r.global_max, NVFP4CAL_DTYPE_F32);
  REQUIRE_OK(nvfp4cal_observer_compute_global_scale(observer.get(), &global));
  REQUIRE_OK(nvfp4cal_observer_compute_global_range(observer.get(), &lo, &hi));
  return r;
}

// The elements of each group of a weight, in any order.
std::vector<Floats> groups_of(const GoldenTensor& x, const nlohmann::json& params) {
  const Floats values = x.floats();
  const std::string strategy = params.at("strategy");
  if (strategy == "tensor") return {values};
  const size_t cols = static_cast<size_t>(x.shape.back()), rows = values.size() / cols;
  size_t height = 1, width = cols;
  if (strategy == "block") {
    height = params.at("block_structure").at(0);
    width = params.at("block_structure").at(1);
  } else if (strategy != "channel") {
    width = params.at("group_size");
  }
  const size_t across = (cols + width - 1) / width;
  std::vector<Floats> groups((rows + height - 1) / height * across);
  for (size_t i = 0; i < values.size(); ++i) groups[i / cols / height * across + i % cols / width].push_back(values[i]);
  return groups;
}

// sum |fake(x) - x|^norm with the scale of a range: float32 operations, float64 sum.
double error_of(const Floats& x, float min, float max, const nlohmann::json& params, float global_scale) {
  const std::string format = params.at("format");
  const float hi = format == "int8" ? 127.0f : format == "int4" ? 7.0f : format == "fp8" ? 448.0f : 6.0f;
  const float lo = format == "int8" ? -128.0f : format == "int4" ? -8.0f : -hi, least = std::min(min, 0.0f), most = std::max(max, 0.0f);
  const bool symmetric = params.at("symmetric");
  float scale = symmetric ? std::max(-least, most) / ((hi - lo) / 2) : (most - least) / (hi - lo), zero = 0;
  if (!symmetric && scale != 0) zero = std::nearbyint(std::clamp(lo - least / scale, lo, hi));
  const auto snapped = [](float y) {
    float best = 0;
    for (int code = 0; code <= kCodes; ++code) {
      const float value = static_cast<float>(e4m3_value_of(code));
      const float now = std::fabs(value - y), before = std::fabs(best - y);
      if (now < before || (now == before && code % 2 == 0)) best = value;
    }
    return best;
  };
  if (global_scale > 0) scale = snapped(global_scale * scale);
  if (scale == 0) scale = global_scale > 0 ? 0.125f : 0x1p-23f;
  if (global_scale > 0) scale = scale / global_scale;
  double sum = 0;
  for (const float value : x) {
    const float y = std::clamp(value / scale + zero, lo, hi), magnitude = std::fabs(y);
    const float q = format == "fp8"   ? std::copysign(snapped(magnitude), y)
                    : format == "fp4" ? std::copysign(static_cast<float>(e2m1_level_of(static_cast<double>(magnitude))), y)
                                      : std::nearbyint(y);
    const float fake = (q - zero) * scale;
    sum += std::pow(std::fabs(static_cast<double>(fake) - static_cast<double>(value)), params.at("norm").get<double>());
  }
  return sum;
}

// Scales follow from equal ranges: float32 to 1e-6, E4M3 exactly.
void check_scales(const GoldenFamily& family, const nlohmann::json& one, const Results& r, const std::vector<bool>& equal) {
  const Floats scale = family.expected(one, "scale").floats(), zero_point = family.expected(one, "zero_point").floats();
  REQUIRE(scale.size() == r.scale.size());
  const bool two_level = !r.global_scale.empty();
  bool all = true;
  for (const bool e : equal) all = all && e;
  if (two_level && all) CHECK(std::fabs(r.global_scale[0] / family.expected(one, "global_scale").floats().at(0) - 1) <= 1e-6f);
  for (size_t g = 0; g < scale.size(); ++g) {
    CAPTURE(g);
    if (!(two_level ? all : static_cast<bool>(equal[g]))) continue;
    CHECK(std::fabs(r.scale[g] - scale[g]) <= (two_level ? 0.0f : 1e-6f * scale[g]));
    CHECK(static_cast<float>(r.zero_point[g]) == zero_point[g]);
  }
}

void check_once(const GoldenFamily& family, const nlohmann::json& one, const nvfp4cal_context* context) {
  const nlohmann::json& params = one.at("params");
  const bool two_level = params.at("strategy") == "tensor_group";
  const Observer observer = make_observer(family, one, context);
  const GoldenTensor& x = family.input(one, "x");
  const nvfp4cal_tensor view = tensor_of(x);
  REQUIRE_OK(nvfp4cal_observer_collect(observer.get(), &view, nullptr));
  const Results r = results_of(observer, two_level);
  CHECK(r.shape == family.expected(one, "min").shape);
  const Floats min = family.expected(one, "min").floats(), max = family.expected(one, "max").floats();
  REQUIRE(min.size() == r.min.size());
  if (one.at("expect").contains("global_min")) {
    CHECK(equal_bits(r.global_min, family.expected(one, "global_min")));
    CHECK(equal_bits(r.global_max, family.expected(one, "global_max")));
    CHECK(equal_bits(r.global_scale, family.expected(one, "global_scale")));
  }
  const float global = params.value("fp8_scale_in_search", false) ? r.global_scale.at(0) : 0.0f;
  const std::vector<Floats> groups = groups_of(x, params);
  std::vector<bool> equal;
  size_t differing = 0;
  for (size_t g = 0; g < min.size(); ++g) {
    equal.push_back(r.min[g] == min[g] && r.max[g] == max[g]);
    if (equal.back()) continue;
    CAPTURE(g, r.min[g], min[g], r.max[g], max[g]);
    ++differing;
    CHECK(error_of(groups[g], r.min[g], r.max[g], params, global) <= error_of(groups[g], min[g], max[g], params, global) * (1 + 1e-5));
  }
  CHECK(differing * 20 <= min.size());  // near-ties are rare
  check_scales(family, one, r, equal);
  if (!params.contains("fake_quant_mse")) return;
  // what the scales are good for: the published losses among them
  double sum = 0;
  for (size_t g = 0; g < min.size(); ++g) {
    nlohmann::json squared = params;
    squared["norm"] = 2.0;
    sum += error_of(groups[g], r.min[g], r.max[g], squared, two_level ? r.global_scale[0] : 0.0f);
  }
  const double mse = sum / static_cast<double>(x.elements()), expected = params.at("fake_quant_mse");
  CHECK(std::fabs(mse - expected) <= std::max(1e-10, 1e-4 * expected));
}

void check_sequence(const GoldenFamily& family, const nlohmann::json& one, const nvfp4cal_context* context) {
  const bool two_level = one.at("params").at("strategy") == "tensor_group";
  const Observer observer = make_observer(family, one, context);
  const Floats wanted = family.expected(one, "min_max_after_each").floats();
  Results r;
  size_t at = 0;
  bool equal = true;
  for (int i = 0; one.at("inputs").contains("x" + std::to_string(i)); ++i) {
    CAPTURE(i);
    const nvfp4cal_tensor x = tensor_of(family.input(one, ("x" + std::to_string(i)).c_str()));
    REQUIRE_OK(nvfp4cal_observer_collect(observer.get(), &x, nullptr));
    r = results_of(observer, two_level);
    for (const Floats& values : {r.min, r.max}) {
      for (const float value : values) {
        REQUIRE(at < wanted.size());
        CAPTURE(value, wanted[at]);
        CHECK(std::fabs(value - wanted[at]) <= 1e-6f * std::fabs(wanted[at]));
        equal = equal && value == wanted[at++];
      }
    }
  }
  CHECK(at == wanted.size());
  check_scales(family, one, r, std::vector<bool>(r.scale.size(), equal));
}

}  // namespace

TEST_CASE("golden observers: every case", "[golden]") {
  const GoldenFamily family("observers");
  REQUIRE(family.cases().size() >= 40);
  for (const auto& one : family.cases()) {
    INFO(one.at("name"));
    REQUIRE(one.at("rule") == "minmax+scale");
    if (one.at("inputs").contains("x0")) {
      check_sequence(family, one, nullptr);
    } else {
      check_once(family, one, nullptr);
    }
  }
}

TEST_CASE("the published losses of llm-compressor's observers", "[golden]") {
  // x = arange(24).reshape(6, 4) / 24, INT8: mean squared error after fake quantization
  struct Published {
    const char* name;
    double loss;
  };
  constexpr Published kPublished[] = {{"tensor_sym", 4.8103e-06},   {"tensor_asym", 1.1258e-06}, {"channel_sym", 2.5675e-06},
                                      {"channel_asym", 2.3696e-07}, {"group_sym", 3.1282e-06},   {"group_asym", 1.3794e-07},
                                      {"block_sym", 2.8968e-06},    {"block_asym", 5.6068e-07}};
  Floats x;
  for (int i = 0; i < 24; ++i) x.push_back(static_cast<float>(i) / 24.0f);
  const GoldenTensor tensor{Dtype::kF32, {6, 4}, {reinterpret_cast<const char*>(x.data()), reinterpret_cast<const char*>(x.data() + 24)}};
  const GoldenFamily family("observers");
  for (const Published& published : kPublished) {
    INFO(published.name);
    const std::string name = published.name, strategy = name.substr(0, name.find('_'));
    const nlohmann::json params = {{"observer", "memoryless_mse"},
                                   {"format", "int8"},
                                   {"symmetric", name.find("asym") == std::string::npos},
                                   {"strategy", strategy},
                                   {"group_size", 2},
                                   {"block_structure", {3, 2}},
                                   {"norm", 2.4}};
    const Observer observer = make_observer(family, {{"params", params}, {"inputs", nlohmann::json::object()}}, nullptr);
    const nvfp4cal_tensor view = tensor_of(tensor);
    REQUIRE_OK(nvfp4cal_observer_collect(observer.get(), &view, nullptr));
    const Results r = results_of(observer, false);
    const std::vector<Floats> groups = groups_of(tensor, params);
    nlohmann::json squared = params;
    squared["norm"] = 2.0;
    double sum = 0;
    for (size_t g = 0; g < groups.size(); ++g) sum += error_of(groups[g], r.min[g], r.max[g], squared, 0.0f);
    CHECK(std::fabs(sum / 24 - published.loss) <= 1e-10);
  }
}
