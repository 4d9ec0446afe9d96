// ModelOpt's static NVFP4 fake quantization as the callback of a sweep: ModelOpt's own codes come out, those of near-ties too.
#include <cmath>

#include "golden/calls.h"
#include "support/catch.h"
#include "support/oracle.h"

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

// As ModelOpt's Python code has it: the scale of a block amax goes through E4M3 and back by way of two reciprocals.
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

TEST_CASE("golden nvfp4_mse: ModelOpt's own codes with its quantizer as the callback", "[golden]") {
  const GoldenFamily family("nvfp4_mse");
  for (const auto& one : family.cases()) {
    const std::string name = one.at("name");
    if (name == "huge_tensor_f32") continue;  // ModelOpt's float32 sums overflow there
    INFO(name);
    const std::vector<float> values = family.input(one, "x").floats();
    const GoldenTensor x = golden_tensor(NVFP4CAL_DTYPE_F32, {static_cast<int64_t>(values.size())}, values);
    const GoldenTensor& global = family.input(one, "global_amax");
    float global_amax = global.floats().at(0);
    const SweepHandle sweep(created(nvfp4cal_sweep_create));
    const nvfp4cal_tensor x_view = view_of(x), global_view = view_of(global);
    ok(nvfp4cal_sweep_set_global_amax(sweep.get(), &global_view));
    ok(nvfp4cal_sweep_set_quantize_callback(sweep.get(), modelopt_quantize, &global_amax));
    ok(nvfp4cal_sweep_collect(sweep.get(), &x_view, nullptr));
    const GoldenTensor found = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_sweep_compute_amax(sweep.get(), out); });
    std::vector<uint8_t> codes;
    for (const float amax : found.floats()) codes.push_back(code_of(amax, global_amax));
    CHECK(codes == family.expected(one, "codes_peer").as<uint8_t>());
  }
}
