// mse_calibrator and act_max: handles that collect x0, x1, ...
#include <cmath>

#include "golden/adapters.h"
#include "golden/calls.h"

namespace nvfp4cal::test {

namespace {

// A name of the table in README.md.
void set_quantizer(nvfp4cal_mse* handle, const Case& one) {
  static const std::map<std::string, int32_t> kRanges = {
      {"", NVFP4CAL_INT_SYMMETRIC}, {"_full_range", NVFP4CAL_INT_FULL}, {"_unsigned", NVFP4CAL_INT_UNSIGNED}};
  static const std::map<std::string, int32_t> kFormats = {{"fp8", NVFP4CAL_FLOAT_E4M3},      {"e4m3", NVFP4CAL_FLOAT_E4M3},
                                                          {"fp8_e5m2", NVFP4CAL_FLOAT_E5M2}, {"e5m2", NVFP4CAL_FLOAT_E5M2},
                                                          {"fp4", NVFP4CAL_FLOAT_E2M1},      {"e2m1", NVFP4CAL_FLOAT_E2M1}};
  const std::string name = one.param<std::string>("quant");
  if (name.size() == 5 && name.compare(0, 4, "uint") == 0) {
    ok(nvfp4cal_mse_set_int_quantizer(handle, name[4] - '0', NVFP4CAL_INT_UNSIGNED));
  } else if (name.size() >= 4 && name.compare(0, 3, "int") == 0 && kRanges.count(name.substr(4))) {
    ok(nvfp4cal_mse_set_int_quantizer(handle, name[3] - '0', kRanges.at(name.substr(4))));
  } else if (name == "nvfp4") {
    ok(nvfp4cal_mse_set_nvfp4_quantizer(handle, one.param<float>("global_amax")));
  } else if (kFormats.count(name)) {
    ok(nvfp4cal_mse_set_float_quantizer(handle, kFormats.at(name)));
  } else {
    throw std::runtime_error("quant " + name + " is not known");
  }
}

void set_error(nvfp4cal_mse* handle, const nlohmann::json& error) {
  if (error.is_number()) {
    ok(nvfp4cal_mse_set_power_error(handle, error));
  } else if (error == "abs") {
    ok(nvfp4cal_mse_set_absolute_error(handle));
  } else if (error == "sq") {
    ok(nvfp4cal_mse_set_squared_error(handle));
  } else {
    throw std::runtime_error("error " + error.dump());
  }
}

// null, one axis or several
std::vector<int32_t> axes_of(const Case& one) {
  if (!one.has_param("axis")) return {};
  const nlohmann::json axis = one.param<nlohmann::json>("axis");
  if (axis.is_array()) return axis.get<std::vector<int32_t>>();
  return {axis.get<int32_t>()};
}

ActMaxHandle collected(const Case& one, const nvfp4cal_context* context, bool headroom) {
  ActMaxHandle handle(created(nvfp4cal_actmax_create));
  ok(nvfp4cal_actmax_set_context(handle.get(), context));
  ok(nvfp4cal_actmax_set_rho(handle.get(), one.param("rho", 16384.0)));
  ok(nvfp4cal_actmax_set_margin(handle.get(), one.param("margin", 1.0)));
  ok(nvfp4cal_actmax_set_percentiles(handle.get(), one.param("anchor_percentile", 1.0), one.param("upper_percentile", 99.99)));
  ok(nvfp4cal_actmax_set_bins(handle.get(), one.param("num_bins", 512), one.param("log2_min", -40.0), one.param("log2_max", 40.0)));
  ok(nvfp4cal_actmax_set_block_size(handle.get(), one.param("block", 16)));
  ok(nvfp4cal_actmax_set_headroom(handle.get(), headroom));
  for (const GoldenTensor* x : one.stream()) {
    const nvfp4cal_tensor view = view_of(*x);
    ok(nvfp4cal_actmax_collect(handle.get(), &view, nullptr));
  }
  return handle;
}

nvfp4cal_tensor state_of(const ActMaxHandle& handle, int32_t index) {
  nvfp4cal_tensor view{};
  int32_t reduce = -1;
  ok(nvfp4cal_actmax_state_tensor(handle.get(), index, &view, &reduce));
  return view;
}

GoldenTensor counts_of(const ActMaxHandle& handle) {
  const nvfp4cal_tensor view = state_of(handle, 0);
  const int64_t* const counts = static_cast<const int64_t*>(view.data);
  return golden_tensor(NVFP4CAL_DTYPE_I64, {view.shape[0]}, std::vector<int64_t>(counts, counts + view.shape[0]));
}

// NaN where there is no data, as in the files.
GoldenTensor result_of(const ActMaxHandle& handle) {
  GoldenTensor result = golden_tensor<float>(NVFP4CAL_DTYPE_F32, {}, {std::nanf("")});
  nvfp4cal_tensor out = view_of(result);
  const nvfp4cal_status status = nvfp4cal_actmax_compute_amax(handle.get(), &out);
  if (status != NVFP4CAL_ERROR_NO_DATA) ok(status);
  return result;
}

GoldenTensor stats_of(const ActMaxHandle& handle) {
  nvfp4cal_actmax_stats stats{};
  stats.struct_size = sizeof stats;
  const nvfp4cal_status status = nvfp4cal_actmax_compute_stats(handle.get(), &stats);
  if (status == NVFP4CAL_ERROR_NO_DATA) {
    stats.b_min = stats.b_max = std::nan("");
    stats.literal_max = *static_cast<const float*>(state_of(handle, 1).data);
  } else {
    ok(status);
  }
  return golden_tensor<double>(NVFP4CAL_DTYPE_F64, {3}, {stats.b_min, stats.b_max, static_cast<double>(stats.literal_max)});
}

}  // namespace

Outputs call_mse_calibrator(const Case& one, const nvfp4cal_context* context) {
  const MseHandle handle(created(nvfp4cal_mse_create));
  nvfp4cal_mse* const h = handle.get();
  ok(nvfp4cal_mse_set_context(h, context));
  ok(nvfp4cal_mse_set_multipliers(h, one.param("start", 0.25), one.param("stop", 4.0), one.param("step", 0.1)));
  const std::vector<int32_t> axes = axes_of(one);
  ok(nvfp4cal_mse_set_axes(h, axes.data(), static_cast<int32_t>(axes.size())));
  set_quantizer(h, one);
  set_error(h, one.param<nlohmann::json>("error", "sq"));
  const nvfp4cal_tensor amax = view_of(one.input("initial_amax"));
  ok(nvfp4cal_mse_set_initial_amax(h, &amax));
  for (const GoldenTensor* x : one.stream()) {
    const nvfp4cal_tensor view = view_of(*x);
    ok(nvfp4cal_mse_collect(h, &view, nullptr));
  }
  return {{"candidates", answer([&](nvfp4cal_tensor* out) { return nvfp4cal_mse_candidates(h, out); })},
          {"amax", answer([&](nvfp4cal_tensor* out) { return nvfp4cal_mse_compute_amax(h, out); })},
          {"multipliers", answer([&](nvfp4cal_tensor* out) { return nvfp4cal_mse_compute_multipliers(h, out); })},
          {"losses", answer([&](nvfp4cal_tensor* out) { return nvfp4cal_mse_losses(h, out); })}};
}

Outputs call_act_max(const Case& one, const nvfp4cal_context* context) {
  const ActMaxHandle seed = collected(one, context, false), headroom = collected(one, context, true);
  return {{"counts", counts_of(seed)},
          {"counts_headroom", counts_of(headroom)},
          {"result", result_of(seed)},
          {"result_headroom", result_of(headroom)},
          {"b_min_b_max_literal", stats_of(seed)}};
}

}  // namespace nvfp4cal::test
