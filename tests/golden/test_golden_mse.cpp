// The search against nvfp4_mse: float64 optima (rule code_or_error) and the float32 recipe's own bits.
#include "golden/run.h"
#include "support/oracle.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

// The code whose block amax, G * (v / 448) in float32, is this one; 0 if there is none.
uint8_t code_of(float amax, float global_amax) {
  for (int code = 1; code <= kCodes; ++code) {
    const float candidate = static_cast<float>(e4m3_value_of(code)) / 448.0f;
    if (global_amax * candidate == amax) return static_cast<uint8_t>(code);
  }
  return 0;
}

// Blocks where the code is neither the float64 optimum nor as good: evaluated as the rule says, scales in the tensor's own units.
int outside_rule(const std::vector<float>& x, float global_amax, const std::vector<uint8_t>& codes, const std::vector<uint8_t>& codes_f64,
                 double rtol) {
  const auto error = [&](const float* block, int code) {
    const float amax = static_cast<float>(e4m3_value_of(code)) / 448.0f * global_amax;
    const double scale = static_cast<double>(amax / 6.0f);
    double sum = 0.0;
    for (int i = 0; i < 16; ++i) {
      const double magnitude = std::fabs(static_cast<double>(block[i])), r = magnitude - scale * e2m1_level_of(magnitude / scale);
      sum += r * r;
    }
    return sum;
  };
  int outside = 0;
  for (size_t b = 0; b < codes.size(); ++b) {
    const float* const block = x.data() + b * 16;
    double energy = 0.0;
    for (int i = 0; i < 16; ++i) energy += static_cast<double>(block[i]) * static_cast<double>(block[i]);
    if (codes[b] == codes_f64[b]) continue;
    outside += !(codes[b] != 0 && error(block, codes[b]) <= error(block, codes_f64[b]) * (1 + rtol) + 1e-13 * energy);
  }
  return outside;
}

// ModelOpt's static NVFP4 fake quantization as its Python code has it: the scale of a block amax goes through E4M3 and back by way of two reciprocals.
// user: the global amax; x is contiguous float32 of one dimension.
int32_t modelopt_quantize(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* amax, nvfp4cal_tensor* out) {
  const float global_amax = *static_cast<const float*>(user);
  const float to_e4m3 = (1.0f / (global_amax / 6.0f)) * 448.0f;
  // every block has the same amax
  const float scale = static_cast<float>(e4m3_value_of(code_of(*static_cast<const float*>(amax->data), global_amax))) * (1.0f / to_e4m3);
  for (int64_t i = 0; i < x->shape[0]; ++i) {
    const float value = static_cast<const float*>(x->data)[i];
    const double level = e2m1_level_of(static_cast<double>(std::fabs(value) / scale));
    static_cast<float*>(out->data)[i] = std::copysign(static_cast<float>(level) * scale, value);
  }
  return 0;
}

}  // namespace

TEST_CASE("golden nvfp4_mse: every case, target and thread count", "[golden]") {
  const GoldenFamily family("nvfp4_mse");
  REQUIRE(family.cases().size() >= 19);
  for (const auto& one : family.cases()) {
    const std::string name = one.at("name");
    INFO(name);
    REQUIRE(one.at("rule") == "code_or_error");
    REQUIRE(one.at("params").at("block") == 16);
    const GoldenTensor &x = family.input(one, "x"), &amax = family.input(one, "global_amax");
    const std::vector<uint8_t> codes_f64 = family.expected(one, "codes_f64").as<uint8_t>(),
                               codes_f32 = family.expected(one, "codes_f32_bits").as<uint8_t>();
    const std::vector<float> amax_f64 = family.expected(one, "amax_f64").floats();
    const float global_amax = amax.floats().at(0);
    for_each_context([&](const nvfp4cal_context* context) {
      const nvfp4cal_tensor x_view = tensor_of(x), amax_view = tensor_of(amax);
      std::vector<float> found(codes_f64.size(), -1.0f);
      nvfp4cal_tensor out = output_of(found, NVFP4CAL_DTYPE_F32);
      REQUIRE_OK(nvfp4cal_scale_sweep(context, &x_view, &amax_view, nullptr, &out, nullptr));
      std::vector<uint8_t> codes;
      for (const float value : found) codes.push_back(code_of(value, global_amax));
      CHECK(differing(codes, codes_f32) == 0);
      CHECK(outside_rule(x.floats(), global_amax, codes, codes_f64, one.at("params").at("rtol")) == 0);
      int wrong_amax = 0;
      for (size_t b = 0; b < codes.size(); ++b) wrong_amax += codes[b] == codes_f64[b] && found[b] != amax_f64[b];
      CHECK(wrong_amax == 0);
    });
  }
}

TEST_CASE("golden nvfp4_mse: the codes of ModelOpt's max method", "[golden]") {
  const GoldenFamily family("nvfp4_mse");
  for (const auto& one : family.cases()) {
    INFO(one.at("name"));
    const nvfp4cal_tensor x = tensor_of(family.input(one, "x")), amax = tensor_of(family.input(one, "global_amax"));
    const std::vector<uint8_t> wanted = family.expected(one, "codes_max_peer").as<uint8_t>();
    std::vector<uint8_t> packed(wanted.size() * 8), scales(wanted.size());
    nvfp4cal_tensor packed_view = output_of(packed, NVFP4CAL_DTYPE_U8), scales_view = output_of(scales, NVFP4CAL_DTYPE_E4M3);
    REQUIRE_OK(nvfp4cal_quantize(nullptr, &x, &amax, nullptr, nullptr, &packed_view, &scales_view, nullptr, nullptr));
    CHECK(differing(scales, wanted) == 0);
  }
}

TEST_CASE("golden nvfp4_mse: ModelOpt's own codes with its quantizer as the callback", "[golden]") {
  const GoldenFamily family("nvfp4_mse");
  for (const auto& one : family.cases()) {
    const std::string name = one.at("name");
    INFO(name);
    std::vector<float> x = family.input(one, "x").floats();
    float global_amax = family.input(one, "global_amax").floats().at(0);
    const std::vector<uint8_t> wanted = family.expected(one, "codes_peer").as<uint8_t>();
    std::vector<float> found(wanted.size());
    const nvfp4cal_tensor x_view = output_of(x, NVFP4CAL_DTYPE_F32), amax_view = tensor_of(family.input(one, "global_amax"));
    nvfp4cal_tensor out = output_of(found, NVFP4CAL_DTYPE_F32);
    nvfp4cal_sweep* sweep = nullptr;
    REQUIRE_OK(nvfp4cal_sweep_create(&sweep));
    REQUIRE_OK(nvfp4cal_sweep_set_global_amax(sweep, &amax_view));
    REQUIRE_OK(nvfp4cal_sweep_set_quantize_callback(sweep, modelopt_quantize, &global_amax));
    REQUIRE_OK(nvfp4cal_sweep_collect(sweep, &x_view, nullptr));
    REQUIRE_OK(nvfp4cal_sweep_compute_amax(sweep, &out));
    nvfp4cal_sweep_destroy(sweep);
    std::vector<uint8_t> codes;
    for (const float value : found) codes.push_back(code_of(value, global_amax));
    if (name == "huge_tensor_f32") {  // ModelOpt's float32 sums overflow
      const std::vector<uint8_t> codes_f64 = family.expected(one, "codes_f64").as<uint8_t>();
      CHECK(outside_rule(x, global_amax, codes, codes_f64, one.at("params").at("rtol")) == 0);
    } else {
      CHECK(differing(codes, wanted) == 0);
    }
  }
}
