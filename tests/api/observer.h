// Calls on nvfp4cal_observer, for tests that look at their results.
#pragma once

#include "api_test.h"

namespace api_test {

struct DestroyObserver {
  void operator()(nvfp4cal_observer* handle) const { nvfp4cal_observer_destroy(handle); }
};
using Observer = std::unique_ptr<nvfp4cal_observer, DestroyObserver>;

inline Observer make_observer(int32_t kind = NVFP4CAL_OBSERVER_MEMORYLESS_MSE, int32_t format = NVFP4CAL_OBSERVER_FORMAT_INT8,
                              int32_t strategy = NVFP4CAL_OBSERVER_STRATEGY_TENSOR, int32_t observed = NVFP4CAL_OBSERVED_WEIGHT) {
  nvfp4cal_observer* handle = nullptr;
  REQUIRE(nvfp4cal_observer_create(&handle) == NVFP4CAL_OK);
  Observer observer(handle);
  REQUIRE(nvfp4cal_observer_set_kind(handle, kind) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_observer_set_format(handle, format) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_observer_set_strategy(handle, strategy) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_observer_set_observed(handle, observed) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_observer_set_group_size(handle, 16) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_observer_set_block_structure(handle, 4, 8) == NVFP4CAL_OK);
  return observer;
}

inline Observer make_nvfp4(int32_t kind = NVFP4CAL_OBSERVER_MEMORYLESS_MSE) {
  return make_observer(kind, NVFP4CAL_OBSERVER_FORMAT_FP4, NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP);
}

inline nvfp4cal_status collect(const Observer& observer, Floats& x, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(x, shape);
  return nvfp4cal_observer_collect(observer.get(), &tensor, nullptr);
}

struct Ranges {
  nvfp4cal_status status = 0;
  Shape shape;
  Floats min, max, scale;
  std::vector<int8_t> zero_point;
};

inline Ranges result(const Observer& observer) {
  Ranges r;
  nvfp4cal_tensor min = question(), max = question();
  r.status = nvfp4cal_observer_compute_range(observer.get(), &min, &max);
  if (r.status != NVFP4CAL_OK) return r;
  r.shape = shape_of(min);
  const size_t n = static_cast<size_t>(count_of(r.shape));
  r.min.assign(n, -7.0f);
  r.max = r.scale = r.min;
  r.zero_point.assign(n, -7);
  min = view(r.min);
  max = view(r.max);
  nvfp4cal_tensor scale = view(r.scale), zero_point = view(r.zero_point.data(), NVFP4CAL_DTYPE_I8, {static_cast<int64_t>(n)});
  r.status = nvfp4cal_observer_compute_range(observer.get(), &min, &max);
  if (r.status == NVFP4CAL_OK) r.status = nvfp4cal_observer_compute_scale(observer.get(), &scale, &zero_point);
  return r;
}

inline bool same(const Ranges& a, const Ranges& b) {
  return a.status == b.status && a.shape == b.shape && same_bits(a.min, b.min) && same_bits(a.max, b.max) && same_bits(a.scale, b.scale) &&
         a.zero_point == b.zero_point;
}

inline float global_scale(const Observer& observer) {
  float value = -1.0f;
  nvfp4cal_tensor out = scalar(value);
  CHECK(nvfp4cal_observer_compute_global_scale(observer.get(), &out) == NVFP4CAL_OK);
  return value;
}

inline Bytes exported(const Observer& observer) {
  nvfp4cal_tensor size = question();
  REQUIRE(nvfp4cal_observer_export_state(observer.get(), &size) == NVFP4CAL_OK);
  Bytes bytes(static_cast<size_t>(size.shape[0]));
  nvfp4cal_tensor out = view(bytes);
  REQUIRE(nvfp4cal_observer_export_state(observer.get(), &out) == NVFP4CAL_OK);
  return bytes;
}

inline nvfp4cal_status import_bytes(const Observer& observer, Bytes state) {
  const nvfp4cal_tensor tensor = view(state);
  return nvfp4cal_observer_import_state(observer.get(), &tensor);
}

}  // namespace api_test
