// Callbacks for nvfp4cal_sweep that see any dtype and strides, and the search that they describe, as plain loops.
#pragma once

#include <cmath>
#include <limits>
#include <thread>

#include "calls.h"
#include "handles.h"
#include "reference.h"

namespace api_test {

// Without a vector on the way: gcc 12 sees ghosts in callbacks that make one.
inline int64_t elements(const nvfp4cal_tensor& tensor) {
  int64_t n = 1;
  for (int d = 0; d < tensor.ndim; ++d) n *= tensor.shape[d];
  return n;
}

// Element i, counted row-major, of a float tensor with or without strides.
inline float element(const nvfp4cal_tensor& tensor, int64_t i) {
  int64_t offset = (tensor.flags & NVFP4CAL_TENSOR_HAS_STRIDES) ? 0 : i;
  for (int d = tensor.ndim - 1; (tensor.flags & NVFP4CAL_TENSOR_HAS_STRIDES) && d >= 0; --d) {
    offset += i % tensor.shape[d] * tensor.strides[d];
    i /= tensor.shape[d];
  }
  switch (tensor.dtype) {
    case NVFP4CAL_DTYPE_BF16: return bf16_value(static_cast<const uint16_t*>(tensor.data)[offset]);
    case NVFP4CAL_DTYPE_F64: return static_cast<float>(static_cast<const double*>(tensor.data)[offset]);
    default: return static_cast<const float*>(tensor.data)[offset];
  }
}

// The library's own values: E2M1 of x / s, times s, s = amax / 6.
inline float nvfp4_value(float x, float amax) {
  const float scale = amax / 6.0f;
  if (scale == 0.0f) return 0.0f;
  return std::copysign(reference::e2m1_value(reference::nearest_e2m1(static_cast<double>(std::fabs(x) / scale))) * scale, x);
}

// Another quantizer: multiples of amax / 4, cut off rather than rounded.
inline float truncated_value(float x, float amax) {
  return amax == 0.0f ? 0.0f : std::trunc(std::fmin(4.0f, x / (amax / 4.0f))) * (amax / 4.0f);
}

inline float square(float x, float xq) { return (x - xq) * (x - xq); }

// Another error, that is not even symmetric.
inline float lopsided(float x, float xq) { return x > xq ? x - xq : 3.0f * (xq - x); }

using Value = float (*)(float, float);

// What the callbacks do, and what they saw.
struct Script {
  Value quantize = nvfp4_value, error = square;
  int block = 16;
  int fail_at = -1;   // the call that returns 5
  int spoil_at = -1;  // the call that writes `spoil` to element spoil_index
  int64_t spoil_index = 0;
  float spoil = std::numeric_limits<float>::quiet_NaN();
  bool zero_is_nan = false;  // NaN where the amax is 0, as x / amax would give
  int quantize_calls = 0, error_calls = 0;
  nvfp4cal_tensor x{}, out{};  // of the last call
  Shape amax_shape;
  std::vector<Floats> amaxes;  // of every quantize call
  std::thread::id thread = std::this_thread::get_id();
  bool wrong_thread = false;

  int32_t finish(int call, const nvfp4cal_tensor& seen, nvfp4cal_tensor* written) {
    wrong_thread = wrong_thread || std::this_thread::get_id() != thread;
    x = seen;
    out = *written;
    if (call == spoil_at) static_cast<float*>(written->data)[spoil_index] = spoil;
    return call == fail_at ? 5 : 0;
  }
};

inline int32_t quantize_script(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* amax, nvfp4cal_tensor* out) {
  Script& script = *static_cast<Script*>(user);
  const float* amaxes = static_cast<const float*>(amax->data);
  for (int64_t i = 0; i < elements(*x); ++i) {
    const float a = amaxes[i / script.block];
    const bool spoiled = script.zero_is_nan && a == 0.0f;
    static_cast<float*>(out->data)[i] = spoiled ? std::numeric_limits<float>::quiet_NaN() : script.quantize(element(*x, i), a);
  }
  script.amax_shape = shape_of(*amax);
  script.amaxes.emplace_back(amaxes, amaxes + elements(*amax));
  return script.finish(script.quantize_calls++, *x, out);
}

inline int32_t error_script(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* xq, nvfp4cal_tensor* out) {
  Script& script = *static_cast<Script*>(user);
  for (int64_t i = 0; i < elements(*x); ++i) {
    static_cast<float*>(out->data)[i] = script.error(element(*x, i), static_cast<const float*>(xq->data)[i]);
  }
  return script.finish(script.error_calls++, *x, out);
}

inline nvfp4cal_status use_quantize(const Sweep& sweep, Script& script) {
  return nvfp4cal_sweep_set_quantize_callback(sweep.get(), quantize_script, &script);
}

inline nvfp4cal_status use_error(const Sweep& sweep, Script& script) {
  return nvfp4cal_sweep_set_error_callback(sweep.get(), error_script, NVFP4CAL_ERRORS_ELEMENTS, &script);
}

// The search by its words, for one global amax: all codes, float64 sums in order, the smallest code of the least.
struct NaiveSweep {
  Value quantize = nvfp4_value, error = nullptr;  // NULL: squares in float64
  Floats weights;                                 // as many as x has, or none
  Floats hessian;                                 // [count, block, block], or none
  int block = 16, normalization = 448;

  double block_error(const float* x, const float* w, size_t number, float amax) const {
    const size_t n = static_cast<size_t>(block);
    double sum = 0.0, r[32];
    for (size_t i = 0; i < n; ++i) {
      const float xq = quantize(x[i], amax);
      r[i] = static_cast<double>(x[i]) - static_cast<double>(xq);
      const double e = error ? static_cast<double>(error(x[i], xq)) : r[i] * r[i];
      sum += w ? static_cast<double>(w[i]) * e : e;
    }
    if (hessian.empty()) return sum;
    const float* h = hessian.data() + number % (hessian.size() / (n * n)) * n * n;
    sum = 0.0;
    for (size_t i = 0; i < n; ++i) {
      double row = 0.0;
      for (size_t j = 0; j < n; ++j) row += static_cast<double>(h[i * n + j]) * r[j];
      sum += r[i] * row;
    }
    return sum;
  }

  Bytes codes(const Floats& x, float global_amax) const {
    Bytes found;
    const size_t n = static_cast<size_t>(block);
    for (size_t b = 0; b < x.size() / n; ++b) {
      double least = std::numeric_limits<double>::infinity();
      found.push_back(0);
      for (int code = 1; code <= 126; ++code) {
        const float amax = global_amax * (reference::e4m3_value(code) / static_cast<float>(normalization));
        const double error_sum = block_error(&x[b * n], weights.empty() ? nullptr : &weights[b * n], b, amax);
        if (!(error_sum < least)) continue;
        least = error_sum;
        found.back() = static_cast<uint8_t>(code);
      }
    }
    return found;
  }
};

}  // namespace api_test
