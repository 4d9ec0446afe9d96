// The calls of calls.h for GPTQ.
#pragma once

#include "calls_calibrators.h"

namespace api_test {
namespace calls {

inline Shared<nvfp4cal_gptq> new_gptq() { return shared(nvfp4cal_gptq_create, nvfp4cal_gptq_destroy); }

// [32, 32]: 2 on the diagonal, .25 beside it.
inline Floats full_hessian() {
  Floats values(32 * 32);
  for (size_t i = 0; i < 32; ++i) {
    values[i * 33] = 2.0f;
    if (i > 0) values[i * 33 - 1] = values[i * 33 - 32] = 0.25f;
  }
  return values;
}

inline Shared<nvfp4cal_hessian> filled_full_hessian() {
  const Shared<nvfp4cal_hessian> hessian = new_hessian();
  if (nvfp4cal_hessian_set_layout(hessian.get(), NVFP4CAL_HESSIAN_FULL) != NVFP4CAL_OK) return nullptr;
  return filled(hessian, nvfp4cal_hessian_collect);
}

inline Call gptq_set_hessian() {
  const Shared<nvfp4cal_gptq> gptq = new_gptq();
  const Shared<nvfp4cal_hessian> hessian = filled_full_hessian();
  Call call{"gptq_set_hessian", {}, [=](Call& c) { return nvfp4cal_gptq_set_hessian(gptq.get(), hessian.get(), c[0]); }, {}, {}};
  call.input("cross", full_hessian(), {32, 32}, Argument::kOptionalInput);
  return call;
}

inline Call gptq_set_hessian_tensor() {
  const Shared<nvfp4cal_gptq> gptq = new_gptq();
  Call call{"gptq_set_hessian_tensor", {}, [=](Call& c) { return nvfp4cal_gptq_set_hessian_tensor(gptq.get(), c[0], c[1]); }, {}, {}};
  call.input("hessian", full_hessian(), {32, 32});
  call.input("cross", full_hessian(), {32, 32}, Argument::kOptionalInput);
  return call;
}

inline Call gptq_quantize() {
  const Shared<nvfp4cal_gptq> gptq = new_gptq();
  Floats values = full_hessian();
  const nvfp4cal_tensor hessian = view(values, {32, 32});
  nvfp4cal_gptq_set_hessian_tensor(gptq.get(), &hessian, nullptr);
  Call call{"gptq_quantize",
            {},
            [=](Call& c) { return nvfp4cal_gptq_quantize(gptq.get(), c[0], c[1], c[2], c[3], c[4], c[5], c[6], nullptr); },
            {},
            {}};
  call.input("x", x(), {4, 32});
  call.input("global_amax", Floats{4.0f}, {}, Argument::kOptionalInput);
  call.output("packed", NVFP4CAL_DTYPE_U8, {4, 16});
  call.output("scales", NVFP4CAL_DTYPE_E4M3, {4, 2});
  call.output("global_scale", NVFP4CAL_DTYPE_F32, {}, Argument::kOptionalOutput);
  call.output("used_amax", NVFP4CAL_DTYPE_F32, {}, Argument::kOptionalOutput);
  call.output("dequantized", NVFP4CAL_DTYPE_F32, {4, 32}, Argument::kOptionalOutput);
  return call;
}

inline constexpr Maker kGptq[] = {gptq_set_hessian, gptq_set_hessian_tensor, gptq_quantize};

}  // namespace calls
}  // namespace api_test
