// A search with ModelOpt's fake quantization as the callback finds ModelOpt's own codes, those of near-ties too.
#include <algorithm>
#include <cmath>

#include "golden/calls.h"
#include "support/catch.h"
#include "support/oracle.h"

using namespace nvfp4cal::test;

namespace {

// ModelOpt's static NVFP4 fake quantization as its Python code has it: the scale of a block amax goes through E4M3 and back by way of two reciprocals. x is
// contiguous float32, and all blocks have one amax. user: the global amax.
int32_t modelopt_quantize(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* amax, nvfp4cal_tensor* out) {
  const float global_amax = *static_cast<const float*>(user), block_amax = *static_cast<const float*>(amax->data);
  const float to_e4m3 = (1.0f / (global_amax / 6.0f)) * 448.0f;
  int code = 1;
  while (code < kCodes && global_amax * (static_cast<float>(e4m3_value_of(code)) / 448.0f) != block_amax) ++code;
  const float scale = static_cast<float>(e4m3_value_of(code)) * (1.0f / to_e4m3);
  int64_t n = 1;
  for (int d = 0; d < x->ndim; ++d) n *= x->shape[d];
  for (int64_t i = 0; i < n; ++i) {
    const float value = static_cast<const float*>(x->data)[i];
    const double level = e2m1_level_of(static_cast<double>(std::fabs(value) / scale));
    static_cast<float*>(out->data)[i] = std::copysign(static_cast<float>(level) * scale, value);
  }
  return 0;
}

// hessian: NULL for the plain search.
std::vector<uint8_t> found(const GoldenTensor& x, float global_amax, const GoldenTensor* hessian) {
  const std::vector<float> values = x.floats();
  const GoldenTensor wide = golden_tensor(NVFP4CAL_DTYPE_F32, x.shape, values),
                     g = golden_tensor(NVFP4CAL_DTYPE_F32, {}, std::vector<float>{global_amax});
  const nvfp4cal_tensor x_view = view_of(wide), g_view = view_of(g), h_view = hessian ? view_of(*hessian) : nvfp4cal_tensor{};
  const SweepHandle handle(created(nvfp4cal_sweep_create));
  ok(nvfp4cal_sweep_set_global_amax(handle.get(), &g_view));
  if (hessian) ok(nvfp4cal_sweep_set_hessian(handle.get(), &h_view));
  ok(nvfp4cal_sweep_set_quantize_callback(handle.get(), modelopt_quantize, &global_amax));
  ok(nvfp4cal_sweep_collect(handle.get(), &x_view, nullptr));
  return answer([&](nvfp4cal_tensor* out) { return nvfp4cal_sweep_compute_codes(handle.get(), out); }).as<uint8_t>();
}

}  // namespace

TEST_CASE("golden nvfp4_mse: ModelOpt's own codes with its quantizer as the callback", "[golden]") {
  const GoldenFamily family("nvfp4_mse");
  for (const auto& one : family.cases()) {
    const std::string name = one.at("name");
    INFO(name);
    const char* key = name == "huge_tensor_f32" ? "codes_f64" : "codes_peer";  // there ModelOpt's float32 sums overflow
    CHECK(found(family.input(one, "x"), family.input(one, "global_amax").floats().at(0), nullptr) ==
          family.expected(one, key).as<uint8_t>());
  }
}

TEST_CASE("golden nvfp4_hessian: ModelOpt's own codes, the best at its scales, with its quantizer as the callback", "[golden]") {
  const GoldenFamily family("nvfp4_hessian");
  for (const auto& one : family.cases()) {
    const Case c{family, one};
    if (!c.has_input("w")) continue;
    INFO(c.name());
    float global_amax = 0.0f;
    for (const float value : c.input("w").floats()) global_amax = std::max(global_amax, std::fabs(value));
    if (c.has_input("global_amax")) global_amax = c.input("global_amax").floats().at(0);
    const GoldenTensor& hessian = c.has_input("hessian") ? c.input("hessian") : c.expected("hessian");
    const std::vector<uint8_t> codes = found(c.input("w"), global_amax, &hessian);
    CHECK(codes == c.expected("codes_f64_roundtrip_scale").as<uint8_t>());
    CHECK(codes == c.expected("codes_peer").as<uint8_t>());
  }
}
