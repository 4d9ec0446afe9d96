// Tensors without elements: a device says of them what the host says, and launches nothing.
#include "device.h"

using namespace device_test;

namespace {

// Places for tensors, on either side: what is asked for lies in one piece of memory, of which nothing is read or written.
struct Place {
  const void* memory = nullptr;
  bool on_device = false;

  nvfp4cal_tensor operator()(int32_t dtype, const Shape& shape) const {
    const nvfp4cal_tensor tensor = view(static_cast<uint8_t*>(const_cast<void*>(memory)), dtype, shape);
    return on_device ? moved(tensor, tensor.data) : tensor;
  }
  nvfp4cal_tensor f32(const Shape& shape) const { return (*this)(NVFP4CAL_DTYPE_F32, shape); }
  nvfp4cal_tensor u8(const Shape& shape) const { return (*this)(NVFP4CAL_DTYPE_U8, shape); }
};

using Call = nvfp4cal_status (*)(const Place& place, int64_t rows, int64_t cols);

// x [rows, cols], one of which is 0, with all outputs that belong to it.
struct Named {
  const char* name;
  Call call;
};

template <auto create, auto collect, auto destroy>
nvfp4cal_status collected(const Place& place, int64_t rows, int64_t cols) {
  auto* const handle = created(create);
  const nvfp4cal_tensor x = place.f32({rows, cols});
  const nvfp4cal_status status = collect(handle, &x, nullptr);
  destroy(handle);
  return status;
}

nvfp4cal_status quantized(const Place& place, int64_t rows, int64_t cols, int32_t method, bool swizzled) {
  nvfp4cal_options options = options_of(method, 16, 448);
  if (swizzled) options.scale_layout = NVFP4CAL_SCALES_SWIZZLED;
  const nvfp4cal_tensor x = place.f32({rows, cols});
  nvfp4cal_tensor packed = place.u8({rows, cols / 2}), scales = place.u8(swizzled ? Shape{0} : Shape{rows, cols / 16});
  return nvfp4cal_quantize(nullptr, &x, nullptr, nullptr, &options, &packed, &scales, nullptr, nullptr);
}

nvfp4cal_status searched(const Place& place, int64_t rows, int64_t cols, bool admm) {
  const nvfp4cal_tensor w = place.f32({rows, cols, 16}), hessians = place.f32({cols, 16, 16});
  nvfp4cal_tensor scales = place.f32({rows, cols}), quants = place.f32({rows, cols, 16}), dequant = quants;
  const auto function = admm ? nvfp4cal_block_admm : nvfp4cal_block_optimal_hessian;
  return function(nullptr, &w, -1, &hessians, nullptr, nullptr, &scales, &quants, &dequant, nullptr);
}

const Named kCalls[] = {
    {"max", collected<nvfp4cal_max_create, nvfp4cal_max_collect, nvfp4cal_max_destroy>},
    {"actmax", collected<nvfp4cal_actmax_create, nvfp4cal_actmax_collect, nvfp4cal_actmax_destroy>},
    {"hessian", collected<nvfp4cal_hessian_create, nvfp4cal_hessian_collect, nvfp4cal_hessian_destroy>},
    {"observer", collected<nvfp4cal_observer_create, nvfp4cal_observer_collect, nvfp4cal_observer_destroy>},
    {"sweep collect", collected<nvfp4cal_sweep_create, nvfp4cal_sweep_collect, nvfp4cal_sweep_destroy>},
    {"scale sweep",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor x = place.f32({rows, cols});
       nvfp4cal_tensor out = place.f32({rows, cols / 16});
       return nvfp4cal_scale_sweep(nullptr, &x, nullptr, nullptr, &out, nullptr);
     }},
    {"scale sweep with a Hessian",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor x = place.f32({rows, cols}), hessian = place.f32({cols / 16, 16, 16});
       nvfp4cal_tensor out = place.f32({rows, cols / 16});
       return nvfp4cal_scale_sweep_hessian(nullptr, &x, nullptr, &hessian, nullptr, &out, nullptr);
     }},
    {"quantize, max",
     [](const Place& place, int64_t rows, int64_t cols) { return quantized(place, rows, cols, NVFP4CAL_METHOD_MAX, false); }},
    {"quantize, given block amaxes",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor x = place.f32({rows, cols}), amaxes = place.f32({rows, cols / 16});
       nvfp4cal_tensor packed = place.u8({rows, cols / 2}), scales = place.u8({rows, cols / 16});
       return nvfp4cal_quantize(nullptr, &x, nullptr, &amaxes, nullptr, &packed, &scales, nullptr, nullptr);
     }},
    {"quantize, an amax a slice",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor x = place.f32({rows, cols}), amaxes = place.f32({rows});
       nvfp4cal_tensor packed = place.u8({rows, cols / 2}), scales = place.u8({rows, cols / 16}), s2 = place.f32({rows});
       return nvfp4cal_quantize(nullptr, &x, &amaxes, nullptr, nullptr, &packed, &scales, &s2, nullptr);
     }},
    {"dequantize, a scale a slice",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor packed = place.u8({rows, cols / 2}), scales = place.u8({rows, cols / 16}), s2 = place.f32({rows});
       nvfp4cal_tensor out = place.f32({rows, cols});
       return nvfp4cal_dequantize(nullptr, &packed, &scales, &s2, NVFP4CAL_DECODE_MODELOPT, &out, nullptr);
     }},
    {"quantize, mse",
     [](const Place& place, int64_t rows, int64_t cols) { return quantized(place, rows, cols, NVFP4CAL_METHOD_MSE, false); }},
    {"quantize, tiles",
     [](const Place& place, int64_t rows, int64_t cols) { return quantized(place, rows, cols, NVFP4CAL_METHOD_MAX, true); }},
    {"fake quantize",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor x = place.f32({rows, cols});
       nvfp4cal_tensor out = x;
       return nvfp4cal_fake_quantize(nullptr, &x, nullptr, nullptr, nullptr, &out, nullptr);
     }},
    {"dequantize",
     [](const Place& place, int64_t rows, int64_t cols) {
       float one = 1.0f;
       const nvfp4cal_tensor packed = place.u8({rows, cols / 2}), scales = place.u8({rows, cols / 16}), scale = scalar(one);
       nvfp4cal_tensor out = place.f32({rows, cols});
       return nvfp4cal_dequantize(nullptr, &packed, &scales, &scale, NVFP4CAL_DECODE_MODELOPT, &out, nullptr);
     }},
    {"swizzle",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor scales = place.u8({rows, cols});
       nvfp4cal_tensor tiles = place.u8({0});
       return nvfp4cal_swizzle_scales(nullptr, &scales, &tiles, nullptr);
     }},
    {"unswizzle",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor tiles = place.u8({0});
       nvfp4cal_tensor scales = place.u8({rows, cols});
       return nvfp4cal_unswizzle_scales(nullptr, &tiles, &scales, nullptr);
     }},
    {"block naive",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor w = place.f32({rows, cols, 16});
       nvfp4cal_tensor scales = place.f32({rows, cols}), quants = w, dequant = w;
       return nvfp4cal_block_naive(nullptr, &w, -1, &scales, &quants, &dequant, nullptr);
     }},
    {"block optimal with Hessians", [](const Place& place, int64_t rows, int64_t cols) { return searched(place, rows, cols, false); }},
    {"block admm", [](const Place& place, int64_t rows, int64_t cols) { return searched(place, rows, cols, true); }},
    {"block sse",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor x = place.f32({rows, cols}), scales = place.f32({rows});
       nvfp4cal_tensor out = place.f32({rows});
       return nvfp4cal_block_sse(nullptr, &x, &scales, -1, &out, nullptr);
     }},
    {"block quantize",
     [](const Place& place, int64_t rows, int64_t cols) {
       const nvfp4cal_tensor x = place.f32({rows, cols}), scales = place.f32({rows});
       nvfp4cal_tensor out = place.f32({rows, cols});
       return nvfp4cal_block_quantize(nullptr, &x, &scales, -1, &out, nullptr);
     }},
};

}  // namespace

TEST_CASE("a device says of tensors without elements what the host says") {
  Floats zeros(64 * 256);
  const OnDevice<float> there(zeros);
  const Place host{zeros.data(), false}, device{there.data(), true};
  for (const Named& one : kCalls) {
    for (const Shape& shape : {Shape{0, 64}, Shape{0, 4}, Shape{4, 0}, Shape{0, 0}}) {
      const nvfp4cal_status want = one.call(host, shape[0], shape[1]);
      const std::string text = want == NVFP4CAL_OK ? "" : last_error();
      const nvfp4cal_status have = one.call(device, shape[0], shape[1]);
      INFO(one.name << " of [" << shape[0] << ", " << shape[1] << "]: " << text << "; " << (have == NVFP4CAL_OK ? "" : last_error()));
      CHECK(have == want);
    }
  }
  CHECK(same_bits(there.read(), zeros));
}
