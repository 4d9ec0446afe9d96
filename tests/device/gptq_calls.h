// GPTQ's calls on both sides, and what they give.
#pragma once

#include <cmath>

#include "device.h"

namespace device_test {

struct DestroyGptq {
  void operator()(nvfp4cal_gptq* handle) const { nvfp4cal_gptq_destroy(handle); }
};
using Gptq = std::unique_ptr<nvfp4cal_gptq, DestroyGptq>;

inline constexpr int32_t kEfforts[] = {NVFP4CAL_GPTQ_FAST, NVFP4CAL_GPTQ_DEFAULT, NVFP4CAL_GPTQ_MAX};

// Measures. On a CPU target that fuses multiply-adds, as the device does.
inline Gptq make_gptq(int32_t effort) {
  nvfp4cal_gptq* handle = nullptr;
  REQUIRE(nvfp4cal_gptq_create(&handle) == NVFP4CAL_OK);
  Gptq gptq(handle);
  REQUIRE(nvfp4cal_gptq_set_effort(handle, effort) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_gptq_set_measure_objectives(handle, 1) == NVFP4CAL_OK);
  static const Context scalar = [] {
    Context context = make_context();
    REQUIRE(nvfp4cal_context_set_cpu_target(context.get(), "scalar") == NVFP4CAL_OK);
    return context;
  }();
  if (std::string(nvfp4cal_cpu_target()) == "sse4") REQUIRE(nvfp4cal_gptq_set_context(handle, scalar.get()) == NVFP4CAL_OK);
  return gptq;
}

// X^T X of correlated rows; columns [dead, dead_end) have none.
inline Floats gram(int64_t cols, uint32_t seed, int64_t dead = 0, int64_t dead_end = 0) {
  const int64_t rows = cols + 40;
  Floats x = random_values(static_cast<size_t>(rows * cols), seed);
  for (size_t i = x.size() - 1; i > 0; --i) x[i] += 0.7f * x[i - 1];
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t column = static_cast<int64_t>(i) % cols;
    if (column >= dead && column < dead_end) x[i] = 0.0f;
  }
  Floats h(static_cast<size_t>(cols * cols));
  for (int64_t i = 0; i < cols; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      double sum = 0.0;
      for (int64_t t = 0; t < rows; ++t)
        sum += static_cast<double>(x[static_cast<size_t>(t * cols + i)]) * static_cast<double>(x[static_cast<size_t>(t * cols + j)]);
      h[static_cast<size_t>(i * cols + j)] = h[static_cast<size_t>(j * cols + i)] = static_cast<float>(sum);
    }
  }
  return h;
}

// A call's outputs.
struct Quantized {
  Bytes packed, scales, decoded;
  Floats global_scale, used_amax;
  nvfp4cal_gptq_objectives objectives{};

  bool operator==(const Quantized& other) const {
    return packed == other.packed && scales == other.scales && decoded == other.decoded && same_bits(global_scale, other.global_scale) &&
           same_bits(used_amax, other.used_amax);
  }
};

inline bool close(double a, double b) { return std::fabs(a - b) <= 1e-12 * std::fabs(b); }
inline bool close(const Quantized& a, const Quantized& b) {
  const nvfp4cal_gptq_objectives &x = a.objectives, &y = b.objectives;
  return close(x.nearest, y.nearest) && close(x.rounding, y.rounding) && close(x.descent, y.descent) &&
         close(x.neighbourhood, y.neighbourhood);
}

struct Wanted {
  Shape shape;
  const nvfp4cal_tensor* global_amax = nullptr;
  int32_t decoded = NVFP4CAL_DTYPE_F32;
  CUstream_st* stream = nullptr;
};

inline Shape divided(Shape shape, int64_t by) {
  shape.back() /= by;
  return shape;
}

// Memory for the outputs, filled with rubbish.
struct OutputBytes {
  Shape slices;
  Quantized bytes;

  explicit OutputBytes(const Wanted& wanted) : slices(wanted.shape.begin(), wanted.shape.end() - 2) {
    const size_t n = static_cast<size_t>(count_of(wanted.shape)), count = static_cast<size_t>(count_of(slices));
    bytes.packed.assign(n / 2, 0xA5);
    bytes.scales.assign(n / 16, 0xA5);
    bytes.decoded.assign(n * dtype_size(wanted.decoded), 0xA5);
    bytes.global_scale.assign(count, -7.0f);
    bytes.used_amax.assign(count, -7.0f);
  }
};

inline void measure(nvfp4cal_gptq* gptq, Quantized& result) {
  result.objectives.struct_size = sizeof result.objectives;
  REQUIRE(nvfp4cal_gptq_compute_objectives(gptq, &result.objectives) == NVFP4CAL_OK);
}

inline Quantized quantize_on_host(nvfp4cal_gptq* gptq, const nvfp4cal_tensor& x, const Wanted& wanted) {
  OutputBytes out(wanted);
  nvfp4cal_tensor packed = view(out.bytes.packed, divided(wanted.shape, 2)), scales = view(out.bytes.scales, divided(wanted.shape, 16)),
                  decoded = view(out.bytes.decoded.data(), wanted.decoded, wanted.shape), s2 = view(out.bytes.global_scale, out.slices),
                  amax = view(out.bytes.used_amax, out.slices);
  const nvfp4cal_status status = nvfp4cal_gptq_quantize(gptq, &x, wanted.global_amax, &packed, &scales, &s2, &amax, &decoded, nullptr);
  INFO(last_error());
  REQUIRE(status == NVFP4CAL_OK);
  measure(gptq, out.bytes);
  return out.bytes;
}

// Outputs on x's device.
class DeviceOutputs {
 public:
  explicit DeviceOutputs(const Wanted& wanted, int32_t device = 0)
      : start_(wanted),
        packed_(start_.bytes.packed, device),
        scales_(start_.bytes.scales, device),
        decoded_(start_.bytes.decoded, device),
        s2_(start_.bytes.global_scale, device),
        amax_(start_.bytes.used_amax, device),
        packed(packed_.view(NVFP4CAL_DTYPE_U8, divided(wanted.shape, 2))),
        scales(scales_.view(NVFP4CAL_DTYPE_U8, divided(wanted.shape, 16))),
        decoded(decoded_.view(wanted.decoded, wanted.shape)),
        s2(s2_.view(NVFP4CAL_DTYPE_F32, start_.slices)),
        amax(amax_.view(NVFP4CAL_DTYPE_F32, start_.slices)) {}

  nvfp4cal_status quantize(nvfp4cal_gptq* gptq, const nvfp4cal_tensor& x, const Wanted& wanted) {
    return nvfp4cal_gptq_quantize(gptq, &x, wanted.global_amax, &packed, &scales, &s2, &amax, &decoded, wanted.stream);
  }
  Quantized read() const {
    Quantized result;
    result.packed = packed_.read();
    result.scales = scales_.read();
    result.decoded = decoded_.read();
    result.global_scale = s2_.read();
    result.used_amax = amax_.read();
    return result;
  }
  bool untouched() const { return read() == start_.bytes; }

 private:
  OutputBytes start_;
  OnDevice<uint8_t> packed_, scales_, decoded_;
  OnDevice<float> s2_, amax_;

 public:
  nvfp4cal_tensor packed, scales, decoded, s2, amax;
};

// x lies on a device.
inline Quantized quantize_on_device(nvfp4cal_gptq* gptq, const nvfp4cal_tensor& x, const Wanted& wanted) {
  DeviceOutputs out(wanted, x.device_id);
  const nvfp4cal_status status = out.quantize(gptq, x, wanted);
  INFO(last_error());
  REQUIRE(status == NVFP4CAL_OK);
  Quantized result = out.read();
  measure(gptq, result);
  return result;
}

inline nvfp4cal_status set_hessian(const Gptq& gptq, Floats& h, const Shape& shape, const nvfp4cal_tensor* cross = nullptr) {
  const nvfp4cal_tensor tensor = view(h, shape);
  return nvfp4cal_gptq_set_hessian_tensor(gptq.get(), &tensor, cross);
}

}  // namespace device_test
