// nvfp4cal_actmax against act_max: counts, percentiles and both result forms of ModelOpt's calibrator.
#include <cmath>

#include "golden/run.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

struct Destroy {
  void operator()(nvfp4cal_actmax* handle) const { nvfp4cal_actmax_destroy(handle); }
};
using ActMax = std::unique_ptr<nvfp4cal_actmax, Destroy>;

ActMax make(const nvfp4cal_context* context, const nlohmann::json& params, bool headroom) {
  nvfp4cal_actmax* handle = nullptr;
  REQUIRE_OK(nvfp4cal_actmax_create(&handle));
  ActMax owner(handle);
  REQUIRE_OK(nvfp4cal_actmax_set_context(handle, context));
  REQUIRE_OK(nvfp4cal_actmax_set_rho(handle, params.at("rho")));
  REQUIRE_OK(nvfp4cal_actmax_set_margin(handle, params.at("margin")));
  REQUIRE_OK(nvfp4cal_actmax_set_percentiles(handle, params.at("anchor_percentile"), params.at("upper_percentile")));
  REQUIRE_OK(nvfp4cal_actmax_set_bins(handle, params.at("num_bins"), params.at("log2_min"), params.at("log2_max")));
  REQUIRE_OK(nvfp4cal_actmax_set_headroom(handle, headroom ? 1 : 0));
  return owner;
}

void collect_all(const ActMax& handle, const GoldenFamily& family, const nlohmann::json& one) {
  for (size_t i = 0; one.at("inputs").contains("x" + std::to_string(i)); ++i) {
    const nvfp4cal_tensor x = tensor_of(family.input(one, ("x" + std::to_string(i)).c_str()));
    REQUIRE_OK(nvfp4cal_actmax_collect(handle.get(), &x, nullptr));
  }
}

std::vector<int64_t> counts_of(const ActMax& handle) {
  nvfp4cal_tensor view{};
  int32_t reduce = -1;
  REQUIRE_OK(nvfp4cal_actmax_state_tensor(handle.get(), 0, &view, &reduce));
  const int64_t* const counts = static_cast<const int64_t*>(view.data);
  return {counts, counts + view.shape[0]};
}

// NaN marks "no data".
void check_result(const ActMax& handle, float expected) {
  float result = -1.0f;
  nvfp4cal_tensor out{};
  out.struct_size = sizeof out;
  out.data = &result;
  out.dtype = NVFP4CAL_DTYPE_F32;
  const nvfp4cal_status status = nvfp4cal_actmax_compute_amax(handle.get(), &out);
  if (std::isnan(expected)) {
    CHECK(status == NVFP4CAL_ERROR_NO_DATA);
    return;
  }
  REQUIRE_OK(status);
  CHECK(std::fabs(result - expected) <= 1e-6f * expected);
}

// At 100 the case lists the percentile's bin, the rule takes the largest magnitude.
void check_stats(const ActMax& handle, bool literal, const std::vector<double>& expected) {
  nvfp4cal_actmax_stats stats{};
  stats.struct_size = sizeof stats;
  const nvfp4cal_status status = nvfp4cal_actmax_compute_stats(handle.get(), &stats);
  if (std::isnan(expected[0])) {
    CHECK(status == NVFP4CAL_ERROR_NO_DATA);
    return;
  }
  REQUIRE_OK(status);
  CHECK(std::fabs(stats.b_min - expected[0]) <= 1e-12 * expected[0]);
  const double b_max = expected[literal ? 2 : 1];
  CHECK(std::fabs(stats.b_max - b_max) <= 1e-12 * b_max);
  CHECK(static_cast<double>(stats.literal_max) == expected[2]);
}

}  // namespace

TEST_CASE("golden act_max: every case, target and thread count", "[golden]") {
  const GoldenFamily family("act_max");
  REQUIRE(family.cases().size() >= 18);
  for (const auto& one : family.cases()) {
    const std::string name = one.at("name");
    INFO(name);
    REQUIRE(one.at("rule") == "counts+result");
    const std::vector<int64_t> exact = family.expected(one, "counts_exact").as<int64_t>(),
                               peer = family.expected(one, "counts_peer").as<int64_t>();
    for_each_context([&](const nvfp4cal_context* context) {
      const ActMax seed = make(context, one.at("params"), false), headroom = make(context, one.at("params"), true);
      collect_all(seed, family, one);
      collect_all(headroom, family, one);
      CHECK(counts_of(seed) == exact);
      CHECK(counts_of(headroom) == exact);
      if (one.at("agreement").at("near_edge") == 0) CHECK(counts_of(seed) == peer);
      check_result(seed, family.expected(one, "result_seed_form").floats().at(0));
      check_result(headroom, family.expected(one, "result_new_form_peer").floats().at(0));
      check_stats(seed, one.at("params").at("upper_percentile") >= 100.0, family.expected(one, "b_min_b_max_literal").as<double>());
    });
  }
}
