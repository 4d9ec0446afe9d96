// nvfp4cal_mse against mse_calibrator: ModelOpt's MseCalibrator, its losses recomputed in float64.
#include <cmath>
#include <memory>

#include "golden/run.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

struct Destroy {
  void operator()(nvfp4cal_mse* handle) const { nvfp4cal_mse_destroy(handle); }
};
using Mse = std::unique_ptr<nvfp4cal_mse, Destroy>;

// "int8", "int4_unsigned", "int4_full_range", "fp8", "fp8_e5m2", "fp4"
void set_quantizer(nvfp4cal_mse* handle, const std::string& name) {
  if (name.rfind("int", 0) == 0) {
    const bool is_unsigned = name.find("unsigned") != std::string::npos, full = name.find("full_range") != std::string::npos;
    REQUIRE_OK(nvfp4cal_mse_set_int_quantizer(handle, name[3] - '0',
                                              is_unsigned ? NVFP4CAL_INT_UNSIGNED
                                              : full      ? NVFP4CAL_INT_FULL
                                                          : NVFP4CAL_INT_SYMMETRIC));
    return;
  }
  REQUIRE((name == "fp8" || name == "fp8_e5m2" || name == "fp4"));
  REQUIRE_OK(nvfp4cal_mse_set_float_quantizer(handle, name == "fp8"   ? NVFP4CAL_FLOAT_E4M3
                                                      : name == "fp4" ? NVFP4CAL_FLOAT_E2M1
                                                                      : NVFP4CAL_FLOAT_E5M2));
}

void set_error(nvfp4cal_mse* handle, const nlohmann::json& error) {
  if (error.is_number()) {
    REQUIRE_OK(nvfp4cal_mse_set_power_error(handle, error));
  } else if (error == "abs") {
    REQUIRE_OK(nvfp4cal_mse_set_absolute_error(handle));
  } else {
    REQUIRE(error == "sq");
    REQUIRE_OK(nvfp4cal_mse_set_squared_error(handle));
  }
}

Mse make(const nvfp4cal_context* context, const GoldenFamily& family, const nlohmann::json& one) {
  const nlohmann::json& params = one.at("params");
  nvfp4cal_mse* handle = nullptr;
  REQUIRE_OK(nvfp4cal_mse_create(&handle));
  Mse owner(handle);
  REQUIRE_OK(nvfp4cal_mse_set_context(handle, context));
  REQUIRE_OK(nvfp4cal_mse_set_multipliers(handle, params.at("start"), params.at("stop"), params.at("step")));
  std::vector<int32_t> axes;
  if (params.at("axis").is_array()) axes = params.at("axis").get<std::vector<int32_t>>();
  if (params.at("axis").is_number()) axes = {params.at("axis").get<int32_t>()};
  REQUIRE_OK(nvfp4cal_mse_set_axes(handle, axes.data(), static_cast<int32_t>(axes.size())));
  set_quantizer(handle, params.at("quant"));
  set_error(handle, params.at("error"));
  const nvfp4cal_tensor amax = tensor_of(family.input(one, "initial_amax"));
  REQUIRE_OK(nvfp4cal_mse_set_initial_amax(handle, &amax));
  return owner;
}

template <class T>
std::vector<T> read(const GoldenTensor& like, int32_t dtype, nvfp4cal_status (*get)(nvfp4cal_mse*, nvfp4cal_tensor*), const Mse& handle) {
  nvfp4cal_tensor question{};
  question.struct_size = sizeof question;
  REQUIRE_OK(get(handle.get(), &question));
  CHECK(std::vector<int64_t>(question.shape, question.shape + question.ndim) == like.shape);
  std::vector<T> values(static_cast<size_t>(like.elements()));
  nvfp4cal_tensor out = output_of(values, dtype);
  REQUIRE_OK(get(handle.get(), &out));
  return values;
}

// Entries that are neither the float64 result nor as good.
int outside_rule(const std::vector<float>& amax, const GoldenTensor& wanted, const std::vector<float>& multipliers,
                 const std::vector<float>& candidates, const std::vector<double>& losses) {
  const std::vector<float> amax_f64 = wanted.floats();
  const size_t channels = losses.size() / candidates.size();
  int outside = 0;
  for (size_t a = 0; a < amax.size(); ++a) {
    if (amax[a] == amax_f64[a]) continue;
    double least = losses[a], mine = -1;
    for (size_t m = 0; m < candidates.size(); ++m) {
      least = std::min(least, losses[m * channels + a]);
      if (candidates[m] == multipliers[a]) mine = losses[m * channels + a];
    }
    outside += !(mine >= 0 && mine <= least * (1 + 1e-6));
  }
  return outside;
}

}  // namespace

TEST_CASE("golden mse_calibrator: every case, target and thread count", "[golden]") {
  const GoldenFamily family("mse_calibrator");
  REQUIRE(family.cases().size() >= 20);
  for (const auto& one : family.cases()) {
    const std::string name = one.at("name");
    INFO(name);
    REQUIRE((one.at("rule") == "amax" || one.at("rule") == "losses"));
    const GoldenTensor &amax_f64 = family.expected(one, "amax_f64"), &losses_f64 = family.expected(one, "losses_f64");
    const std::vector<double> wanted = losses_f64.as<double>();
    for_each_context([&](const nvfp4cal_context* context) {
      const Mse handle = make(context, family, one);
      for (size_t i = 0; one.at("inputs").contains("x" + std::to_string(i)); ++i) {
        const nvfp4cal_tensor x = tensor_of(family.input(one, ("x" + std::to_string(i)).c_str()));
        REQUIRE_OK(nvfp4cal_mse_collect(handle.get(), &x, nullptr));
      }
      std::vector<float> candidates(static_cast<size_t>(family.expected(one, "candidates").elements()));
      nvfp4cal_tensor out = output_of(candidates, NVFP4CAL_DTYPE_F32);
      REQUIRE_OK(nvfp4cal_mse_candidates(handle.get(), &out));
      CHECK(equal_bits(candidates, family.expected(one, "candidates")));
      const std::vector<float> amax = read<float>(amax_f64, NVFP4CAL_DTYPE_F32, nvfp4cal_mse_compute_amax, handle),
                               multipliers = read<float>(amax_f64, NVFP4CAL_DTYPE_F32, nvfp4cal_mse_compute_multipliers, handle);
      CHECK(outside_rule(amax, amax_f64, multipliers, candidates, wanted) == 0);
      const std::vector<double> losses = read<double>(losses_f64, NVFP4CAL_DTYPE_F64, nvfp4cal_mse_losses, handle);
      int far = 0;
      for (size_t i = 0; i < losses.size(); ++i) far += !(std::fabs(losses[i] - wanted[i]) <= 1e-9 * wanted[i]);
      CHECK(far == 0);
    });
  }
}
