// Calls on calibrators, for tests that look at their results.
#pragma once

#include "api_test.h"

namespace api_test {

inline nvfp4cal_status collect(const Max& max, Floats& x, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(x, shape);
  return nvfp4cal_max_collect(max.get(), &tensor, nullptr);
}

inline nvfp4cal_status collect(const Sweep& sweep, Floats& x, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(x, shape);
  return nvfp4cal_sweep_collect(sweep.get(), &tensor, nullptr);
}

inline nvfp4cal_status set_axes(const Max& max, const std::vector<int32_t>& axes) {
  return nvfp4cal_max_set_axes(max.get(), axes.data(), static_cast<int32_t>(axes.size()));
}

inline nvfp4cal_status set_global(const Sweep& sweep, Floats values) {
  const nvfp4cal_tensor tensor = view(values);
  return nvfp4cal_sweep_set_global_amax(sweep.get(), &tensor);
}

struct Result {
  nvfp4cal_status status = 0;
  Shape shape;
  Floats values;
};

template <class Compute>
Result computed(Compute&& compute) {
  Result result;
  nvfp4cal_tensor out = question();
  result.status = compute(&out);
  if (result.status != NVFP4CAL_OK) return result;
  result.shape = shape_of(out);
  result.values.assign(static_cast<size_t>(count_of(result.shape)), -7.0f);
  out.data = result.values.data();
  result.status = compute(&out);
  return result;
}

inline Result amax(const Max& max) {
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_max_compute_amax(max.get(), out); });
}

inline Result amax(const Sweep& sweep) {
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_sweep_compute_amax(sweep.get(), out); });
}

inline Bytes codes(const Sweep& sweep) {
  nvfp4cal_tensor out = question();
  if (nvfp4cal_sweep_compute_codes(sweep.get(), &out) != NVFP4CAL_OK) return {};
  Bytes bytes(static_cast<size_t>(count_of(shape_of(out))), 0xA5);
  out.data = bytes.data();
  return nvfp4cal_sweep_compute_codes(sweep.get(), &out) == NVFP4CAL_OK ? bytes : Bytes();
}

inline bool same(const Result& a, const Result& b) { return a.status == b.status && a.shape == b.shape && same_bits(a.values, b.values); }

inline nvfp4cal_status import_bytes(const Max& max, Bytes state) {
  const nvfp4cal_tensor tensor = view(state);
  return nvfp4cal_max_import_state(max.get(), &tensor);
}

inline nvfp4cal_status import_bytes(const Sweep& sweep, Bytes state) {
  const nvfp4cal_tensor tensor = view(state);
  return nvfp4cal_sweep_import_state(sweep.get(), &tensor);
}

}  // namespace api_test
