// Callbacks for nvfp4cal_mse that repeat built-in quantizers and errors, count their calls, and fail when asked to.
#pragma once

#include <cmath>
#include <limits>
#include <thread>

#include "mse.h"

namespace api_test {

// What the callbacks of a test saw, and when they fail.
struct Calls {
  int count = 0, fail_at = -1;
  bool wrong_thread = false, nan = false;
  std::thread::id thread = std::this_thread::get_id();
  Shape amax_shape;

  int32_t next() {
    wrong_thread = wrong_thread || std::this_thread::get_id() != thread;
    return count++ == fail_at ? 5 : 0;
  }
};

// INT4 by hand, one amax a row; x is contiguous float32.
inline int32_t quantize_rows(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* amax, nvfp4cal_tensor* out) {
  Calls& calls = *static_cast<Calls*>(user);
  calls.amax_shape = shape_of(*amax);
  const int64_t cols = x->shape[x->ndim - 1], n = count_of(shape_of(*x));
  for (int64_t i = 0; i < n; ++i) {
    const float a = static_cast<const float*>(amax->data)[i / cols], s = 7.0f / a;
    const float q = std::nearbyint(static_cast<const float*>(x->data)[i] * s);
    static_cast<float*>(out->data)[i] = a <= 0x1p-24f ? 0.0f : std::fmin(std::fmax(q, -7.0f), 7.0f) / s;
  }
  if (calls.nan) static_cast<float*>(out->data)[7] = std::numeric_limits<float>::quiet_NaN();
  return calls.next();
}

inline int32_t element_errors(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* xq, nvfp4cal_tensor* out) {
  for (int64_t i = 0; i < count_of(shape_of(*x)); ++i) {
    static_cast<float*>(out->data)[i] = std::fabs(static_cast<const float*>(x->data)[i] - static_cast<const float*>(xq->data)[i]);
  }
  if (static_cast<Calls*>(user)->nan) static_cast<float*>(out->data)[3] = std::numeric_limits<float>::infinity();
  return static_cast<Calls*>(user)->next();
}

inline int32_t scalar_error(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* xq, nvfp4cal_tensor* out) {
  double sum = 0;
  for (int64_t i = 0; i < count_of(shape_of(*x)); ++i) {
    const double d =
        static_cast<double>(static_cast<const float*>(x->data)[i]) - static_cast<double>(static_cast<const float*>(xq->data)[i]);
    sum += d * d;
  }
  if (out->ndim != 0 || out->dtype != NVFP4CAL_DTYPE_F64) return 9;
  *static_cast<double*>(out->data) = static_cast<Calls*>(user)->nan ? std::nan("") : sum;
  return static_cast<Calls*>(user)->next();
}

}  // namespace api_test
