// The Hessian-weighted search and the Hessians themselves against nvfp4_hessian.
#include <cmath>

#include "golden/run.h"
#include "support/oracle.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

uint8_t code_of(float amax, float global_amax) {
  for (int code = 1; code <= kCodes; ++code) {
    const float candidate = static_cast<float>(e4m3_value_of(code)) / 448.0f;
    if (global_amax * candidate == amax) return static_cast<uint8_t>(code);
  }
  return 0;
}

// E64 of the rules: the level from the float32 quotient, all else in float64.
double error_f64(const float* x, const float* h, int block, float global_amax, int code) {
  const float candidate = static_cast<float>(e4m3_value_of(code)) / 448.0f;
  const float scale = candidate * global_amax / 6.0f;
  double r[32], error = 0.0;
  for (int i = 0; i < block; ++i) {
    const float magnitude = std::fabs(x[i]);
    const double q = e2m1_level_of(static_cast<double>(magnitude / scale));
    r[i] = std::copysign(1.0, static_cast<double>(x[i])) * (static_cast<double>(magnitude) - static_cast<double>(scale) * q);
  }
  for (int i = 0; i < block; ++i) {
    for (int j = 0; j < block; ++j) error += r[i] * static_cast<double>(h[i * block + j]) * r[j];
  }
  return error;
}

struct Case {
  int block;
  double rtol;
  float global_amax;
  std::vector<float> x, hessian;
  std::vector<uint8_t> codes_f64;

  int outside_rule(const std::vector<uint8_t>& codes) const {
    const size_t size = static_cast<size_t>(block), count = hessian.size() / size / size;
    int outside = 0;
    for (size_t b = 0; b < codes.size(); ++b) {
      if (codes[b] == codes_f64[b]) continue;
      const float *const values = x.data() + b * size, *const h = hessian.data() + b % count * size * size;
      double energy = 0.0, trace = 0.0;
      for (size_t i = 0; i < size; ++i) {
        energy += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        trace += static_cast<double>(h[i * size + i]);
      }
      const double limit = error_f64(values, h, block, global_amax, codes_f64[b]) * (1 + rtol) + 1e-13 * energy * trace;
      outside += !(codes[b] != 0 && error_f64(values, h, block, global_amax, codes[b]) <= limit);
    }
    return outside;
  }
};

// The case's Hessian, given or expected.
const GoldenTensor& hessian_of(const GoldenFamily& family, const nlohmann::json& one) {
  return one.at("inputs").contains("hessian") ? family.input(one, "hessian") : family.expected(one, "hessian");
}

std::vector<float> accumulated(const GoldenTensor& activations, int block, bool normalize, const nvfp4cal_context* context, size_t size) {
  nvfp4cal_hessian* handle = nullptr;
  REQUIRE_OK(nvfp4cal_hessian_create(&handle));
  REQUIRE_OK(nvfp4cal_hessian_set_context(handle, context));
  REQUIRE_OK(nvfp4cal_hessian_set_block_size(handle, block));
  REQUIRE_OK(nvfp4cal_hessian_set_normalize(handle, normalize));
  const nvfp4cal_tensor x = tensor_of(activations);
  REQUIRE_OK(nvfp4cal_hessian_collect(handle, &x, nullptr));
  std::vector<float> hessian(size);
  nvfp4cal_tensor out = output_of(hessian, NVFP4CAL_DTYPE_F32);
  REQUIRE_OK(nvfp4cal_hessian_compute_hessian(handle, &out));
  nvfp4cal_hessian_destroy(handle);
  return hessian;
}

// Rule hessian_close.
int far_elements(const std::vector<float>& found, const std::vector<float>& expected, size_t block) {
  int far = 0;
  for (size_t k = 0; k < expected.size(); ++k) {
    const size_t j = k / (block * block) * block * block, row = k / block % block, column = k % block;
    const double limit =
        2e-5 * std::sqrt(static_cast<double>(expected[j + row * (block + 1)]) * static_cast<double>(expected[j + column * (block + 1)]));
    far += !(std::fabs(static_cast<double>(found[k]) - static_cast<double>(expected[k])) <= limit);
  }
  return far;
}

}  // namespace

TEST_CASE("golden nvfp4_hessian: codes of every case, target and thread count", "[golden]") {
  const GoldenFamily family("nvfp4_hessian");
  REQUIRE(family.cases().size() >= 8);
  for (const auto& one : family.cases()) {
    INFO(one.at("name"));
    REQUIRE(one.at("rule") == "code_or_error");
    const GoldenTensor &w = family.input(one, "w"), &amax = family.input(one, "global_amax"), &h = hessian_of(family, one);
    const Case rule{one.at("params").at("block"),
                    one.at("params").at("rtol"),
                    amax.floats().at(0),
                    w.floats(),
                    h.floats(),
                    family.expected(one, "codes_f64").as<uint8_t>()};
    nvfp4cal_options options = default_options();
    options.block_size = rule.block;
    for_each_context([&](const nvfp4cal_context* context) {
      const nvfp4cal_tensor x_view = tensor_of(w), amax_view = tensor_of(amax), h_view = tensor_of(h);
      std::vector<float> found(rule.codes_f64.size(), -1.0f);
      nvfp4cal_tensor out = output_of(found, NVFP4CAL_DTYPE_F32);
      REQUIRE_OK(nvfp4cal_scale_sweep_hessian(context, &x_view, &amax_view, &h_view, &options, &out, nullptr));
      std::vector<uint8_t> codes;
      for (const float value : found) codes.push_back(code_of(value, rule.global_amax));
      CHECK(rule.outside_rule(codes) == 0);
      CHECK(differing(codes, rule.codes_f64) <= static_cast<int>(codes.size()) / 100);
    });
  }
}

TEST_CASE("golden nvfp4_hessian: Hessians of activations", "[golden]") {
  const GoldenFamily family("nvfp4_hessian");
  int cases = 0;
  for (const auto& one : family.cases()) {
    if (!one.at("inputs").contains("activations")) continue;
    INFO(one.at("name"));
    ++cases;
    const int block = one.at("params").at("block");
    const GoldenTensor& activations = family.input(one, "activations");
    const std::vector<float> expected = family.expected(one, "hessian").floats();
    const std::vector<double> sums = family.expected(one, "hessian_unnormalized_f64").as<double>();
    const std::vector<float> narrowed(sums.begin(), sums.end());
    for_each_context([&](const nvfp4cal_context* context) {
      const bool normalize = one.at("params").at("normalize");
      CHECK(far_elements(accumulated(activations, block, normalize, context, expected.size()), expected, static_cast<size_t>(block)) == 0);
      CHECK(far_elements(accumulated(activations, block, false, context, expected.size()), narrowed, static_cast<size_t>(block)) == 0);
    });
  }
  CHECK(cases >= 3);
}
