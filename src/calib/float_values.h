// Elements of a small float tensor (an option, an amax) as float32.
#pragma once

#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/tensor_view.h"
#include "num/half.h"

namespace nvfp4cal::calib {

// `name` is the tensor's in messages. float64 is rounded to float32.
inline std::vector<float> float_values(const TensorView& view, const char* name) {
  if (!is_float_input(view.dtype))
    fail(Status::kUnsupported, "%s is %s, expected float32, bfloat16, float16 or float64", name, dtype_name(view.dtype));
  std::vector<float> values;
  const int64_t n = view.elements();
  if (n == 0) return values;
  values.reserve(static_cast<size_t>(n));
  const auto element = [&](int64_t offset) {
    const char* at = static_cast<const char*>(view.data) + offset * static_cast<int64_t>(dtype_size(view.dtype));
    double wide;
    float value;
    uint16_t half;
    if (view.dtype == Dtype::kF64) return std::memcpy(&wide, at, 8), static_cast<float>(wide);
    if (view.dtype == Dtype::kF32) return std::memcpy(&value, at, 4), value;
    std::memcpy(&half, at, 2);
    return view.dtype == Dtype::kBf16 ? num::bf16_to_f32(half) : num::f16_to_f32(half);
  };
  for_each_run(view, 0, n, [&](int64_t offset, int64_t step, int64_t count) {
    for (int64_t i = 0; i < count; ++i) values.push_back(element(offset + i * step));
  });
  return values;
}

}  // namespace nvfp4cal::calib
