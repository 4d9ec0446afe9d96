// The functions of one call, on tensors of a device that belong together.
#pragma once

#include "device.h"

namespace device_test {

// Inputs and outputs of the functions that take a context, on one device.
struct Layer {
  Floats values = random_values(64 * 64, 5), rows = diagonal();
  OnDevice<float> x{values}, weights{Floats(64, 2.0f)}, amaxes{Floats(256)}, decoded{Floats(64 * 64)}, hessian{diagonal()};
  OnDevice<uint8_t> packed{Bytes(64 * 32)}, scales{Bytes(512)}, tiles{Bytes(512)};
  nvfp4cal_tensor view_x = x.view(NVFP4CAL_DTYPE_F32, {64, 64}), view_weights = weights.view(NVFP4CAL_DTYPE_F32, {64}),
                  view_amaxes = amaxes.view(NVFP4CAL_DTYPE_F32, {64, 4}), view_decoded = decoded.view(NVFP4CAL_DTYPE_F32, {64, 64}),
                  view_packed = packed.view(NVFP4CAL_DTYPE_U8, {64, 32}), view_scales = scales.view(NVFP4CAL_DTYPE_U8, {64, 4}),
                  view_tiles = tiles.view(NVFP4CAL_DTYPE_U8, {512}), view_hessian = view(rows, {4, 16, 16}),
                  view_hessian_there = hessian.view(NVFP4CAL_DTYPE_F32, {4, 16, 16});

  static Floats diagonal() {
    Floats all(4 * 256);
    for (size_t i = 0; i < all.size(); ++i) all[i] = i / 16 % 16 == i % 16 ? 1.0f : 0.0f;
    return all;
  }

  nvfp4cal_status one_call(int which, const nvfp4cal_context* context, CUstream_st* stream) {
    nvfp4cal_options mse = options_of(NVFP4CAL_METHOD_MSE, 16, 448), swizzled = options_of(NVFP4CAL_METHOD_MAX, 16, 448);
    mse.weights = &view_weights;
    swizzled.scale_layout = NVFP4CAL_SCALES_SWIZZLED;
    float one = 1.0f;
    const nvfp4cal_tensor scale = scalar(one);
    switch (which) {
      case 0: return nvfp4cal_scale_sweep(context, &view_x, nullptr, nullptr, &view_amaxes, stream);
      case 1: return nvfp4cal_quantize(context, &view_x, &scale, nullptr, &mse, &view_packed, &view_scales, nullptr, stream);
      case 2: return nvfp4cal_quantize(context, &view_x, nullptr, nullptr, &swizzled, &view_packed, &view_tiles, nullptr, stream);
      case 3: return nvfp4cal_fake_quantize(context, &view_x, nullptr, &view_amaxes, nullptr, &view_decoded, stream);
      case 4: return nvfp4cal_dequantize(context, &view_packed, &view_scales, &scale, NVFP4CAL_DECODE_MODELOPT, &view_decoded, stream);
      case 5: return nvfp4cal_scale_sweep_hessian(context, &view_x, nullptr, &view_hessian, nullptr, &view_amaxes, stream);
      case 6: return nvfp4cal_scale_sweep_hessian(context, &view_x, nullptr, &view_hessian_there, nullptr, &view_amaxes, stream);
      default: return nvfp4cal_swizzle_scales(context, &view_scales, &view_tiles, stream);
    }
  }
};
inline constexpr int kOneCalls = 7;  // those that compute on temporary memory; the last one reads scales as they lie

// A context whose failures stay on device 0.
struct StatusContext {
  nvfp4cal_context* handle = nullptr;
  OnDevice<int64_t> words{std::vector<int64_t>(4)};
  nvfp4cal_tensor status = words.view(NVFP4CAL_DTYPE_I64, {4});

  StatusContext() {
    REQUIRE(nvfp4cal_context_create(&handle) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_context_set_device_status(handle, &status) == NVFP4CAL_OK);
  }
  StatusContext(const StatusContext&) = delete;
  ~StatusContext() { nvfp4cal_context_destroy(handle); }
};

inline void wait_for(CUstream_st* stream) {
  char message[nvfp4cal::kMessageSize];
  REQUIRE(module().ops->synchronize({0, stream}, message) == nvfp4cal::Status::kOk);
}

}  // namespace device_test
