#include "calib/read_floats.h"

#include <cmath>
#include <cstring>

#include "core/error.h"
#include "num/half.h"

namespace nvfp4cal::calib {

namespace {

template <class T>
T load(const TensorView& view, int64_t offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(view.data) + offset * static_cast<int64_t>(sizeof value), sizeof value);
  return value;
}

// The element at an offset (in elements).
float element(const TensorView& view, int64_t offset) {
  switch (view.dtype) {
    case Dtype::kF64: return static_cast<float>(load<double>(view, offset));
    case Dtype::kF32: return load<float>(view, offset);
    case Dtype::kBf16: return num::bf16_to_f32(load<uint16_t>(view, offset));
    default: return num::f16_to_f32(load<uint16_t>(view, offset));
  }
}

}  // namespace

std::vector<float> read_floats(const TensorView& view, const char* name) {
  if (!is_float_input(view.dtype)) {
    fail(Status::kUnsupported, "%s is %s, expected float32, bfloat16, float16 or float64", name, dtype_name(view.dtype));
  }
  std::vector<float> values;
  const int64_t n = view.elements();
  if (n == 0) return values;
  values.reserve(static_cast<size_t>(n));
  for_each_run(view, 0, n, [&](int64_t offset, int64_t step, int64_t count) {
    for (int64_t i = 0; i < count; ++i) values.push_back(element(view, offset + i * step));
  });
  return values;
}

std::vector<double> read_finite(const TensorView& view, const char* name) {
  const std::vector<float> values = read_floats(view, name);
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = static_cast<double>(values[i]);
    if (!std::isfinite(value)) fail(Status::kNotFinite, "%s[%zu] is %g", name, i, value);
  }
  return {values.begin(), values.end()};
}

}  // namespace nvfp4cal::calib
