// observers: one weight, or a stream of activations with the range after each.
#include <algorithm>

#include "golden/adapters.h"
#include "golden/calls.h"

namespace nvfp4cal::test {

namespace {

// The position of a param among names.
int32_t position_of(const Case& one, const char* key, const std::vector<std::string>& names) {
  const std::string name = one.param<std::string>(key);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw std::runtime_error(std::string(key) + " " + name + " is not known");
  return static_cast<int32_t>(found - names.begin());
}

// "none" (or null), "given" with the scale among inputs or expectations, "optimize", or a number.
void set_global_scale(nvfp4cal_observer* h, const Case& one) {
  const nlohmann::json how = one.param<nlohmann::json>("global_scale", "none");
  if (one.param("fp8_scale_in_search", how != "none") != (how != "none"))
    throw std::runtime_error("FP8 scales belong to a search with a global scale, and only to that");
  if (how.is_number()) {
    ok(nvfp4cal_observer_set_global_scale(h, how));
  } else if (how == "given") {
    const GoldenTensor& scale = one.has_input("global_scale") ? one.input("global_scale") : one.expected("global_scale");
    ok(nvfp4cal_observer_set_global_scale(h, scale.floats().at(0)));
  } else if (how == "optimize") {
    ok(nvfp4cal_observer_set_optimize_global_scale(h, 1));
  } else if (how != "none") {
    throw std::runtime_error("global_scale " + how.dump() + " is not known");
  }
}

void set_search(nvfp4cal_observer* h, const Case& one, bool expanded) {
  ok(nvfp4cal_observer_set_maxshrink(h, one.param("maxshrink", expanded ? 1.0 / 1.8 : 0.2)));
  ok(nvfp4cal_observer_set_patience(h, one.param("patience", expanded ? 1000 : 5)));
  ok(nvfp4cal_observer_set_grid(h, one.param("grid", expanded ? 200.0 : 100.0)));
  ok(nvfp4cal_observer_set_norm(h, one.param("norm", 2.4)));
  ok(nvfp4cal_observer_set_expand(h, one.param("expand", expanded ? 1.8 : 1.0)));
  ok(nvfp4cal_observer_set_averaging_constant(h, one.param("averaging_constant", 0.01)));
  set_global_scale(h, one);
}

ObserverHandle observer_of(const Case& one, const nvfp4cal_context* context) {
  ObserverHandle handle(created(nvfp4cal_observer_create));
  nvfp4cal_observer* const h = handle.get();
  ok(nvfp4cal_observer_set_context(h, context));
  // in the order of the header's constants, then what is an option of one of them
  const int32_t kind =
      position_of(one, "observer", {"memoryless_mse", "mse", "memoryless_minmax", "minmax", "static_minmax", "nvfp4_expanded_mse"});
  ok(nvfp4cal_observer_set_kind(h, kind == 5 ? NVFP4CAL_OBSERVER_MEMORYLESS_MSE : kind));
  ok(nvfp4cal_observer_set_format(h, position_of(one, "format", {"int8", "int4", "fp8", "fp4"})));
  const int32_t strategy = position_of(one, "strategy", {"tensor", "channel", "group", "block", "tensor_group", "token"});
  ok(nvfp4cal_observer_set_strategy(h, strategy));
  ok(nvfp4cal_observer_set_symmetric(h, one.param("symmetric", true)));
  if (!one.has_input("x") || strategy == NVFP4CAL_OBSERVER_STRATEGY_TOKEN)
    ok(nvfp4cal_observer_set_observed(h, NVFP4CAL_OBSERVED_ACTIVATION));
  if (one.has_param("group_size")) ok(nvfp4cal_observer_set_group_size(h, one.param<int32_t>("group_size")));
  if (one.has_param("block_structure")) {
    const auto block = one.param<std::vector<int32_t>>("block_structure");
    ok(nvfp4cal_observer_set_block_structure(h, block.at(0), block.at(1)));
  }
  if (one.has_input("g_idx")) {
    std::vector<int32_t> groups;
    for (const double group : one.input("g_idx").numbers()) groups.push_back(static_cast<int32_t>(group));
    ok(nvfp4cal_observer_set_g_idx(h, groups.data(), static_cast<int64_t>(groups.size())));
  }
  set_search(h, one, kind == 5);
  return handle;
}

Outputs results_of(nvfp4cal_observer* h, bool two_level) {
  const auto range = answers<2>([&](nvfp4cal_tensor* t) { return nvfp4cal_observer_compute_range(h, &t[0], &t[1]); });
  const auto scale = answers<2>([&](nvfp4cal_tensor* t) { return nvfp4cal_observer_compute_scale(h, &t[0], &t[1]); });
  Outputs outputs = {{"min", range[0]}, {"max", range[1]}, {"scale", scale[0]}, {"zero_point", scale[1]}};
  if (!two_level) return outputs;
  const auto global = answers<2>([&](nvfp4cal_tensor* t) { return nvfp4cal_observer_compute_global_range(h, &t[0], &t[1]); });
  outputs["global_min"] = global[0];
  outputs["global_max"] = global[1];
  outputs["global_scale"] = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_observer_compute_global_scale(h, out); });
  return outputs;
}

}  // namespace

Outputs call_observers(const Case& one, const nvfp4cal_context* context) {
  const ObserverHandle handle = observer_of(one, context);
  const bool two_level = one.param<std::string>("strategy") == "tensor_group";
  const std::vector<const GoldenTensor*> xs = one.has_input("x") ? std::vector<const GoldenTensor*>{&one.input("x")} : one.stream();
  Outputs outputs;
  std::vector<float> ranges;
  for (const GoldenTensor* x : xs) {
    const nvfp4cal_tensor view = view_of(*x);
    ok(nvfp4cal_observer_collect(handle.get(), &view, nullptr));
    outputs = results_of(handle.get(), two_level);
    for (const char* end : {"min", "max"}) {
      const std::vector<float> values = outputs[end].floats();
      ranges.insert(ranges.end(), values.begin(), values.end());
    }
  }
  std::vector<int64_t> shape = outputs.at("min").shape;
  shape.insert(shape.begin(), {static_cast<int64_t>(xs.size()), 2});
  outputs["min_max_after_each"] = golden_tensor(NVFP4CAL_DTYPE_F32, shape, ranges);
  return outputs;
}

}  // namespace nvfp4cal::test
