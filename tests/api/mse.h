// Calls on nvfp4cal_mse, for tests that look at their results.
#pragma once

#include "calls.h"
#include "handles.h"

namespace api_test {

struct DestroyMse {
  void operator()(nvfp4cal_mse* handle) const { nvfp4cal_mse_destroy(handle); }
};
using Mse = std::unique_ptr<nvfp4cal_mse, DestroyMse>;

inline Mse make_mse() {
  nvfp4cal_mse* handle = nullptr;
  return Mse(nvfp4cal_mse_create(&handle) == NVFP4CAL_OK ? handle : nullptr);
}

inline nvfp4cal_status set_amax(const Mse& mse, Floats values, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(values, shape);
  return nvfp4cal_mse_set_initial_amax(mse.get(), &tensor);
}

inline nvfp4cal_status set_axes(const Mse& mse, const std::vector<int32_t>& axes) {
  return nvfp4cal_mse_set_axes(mse.get(), axes.data(), static_cast<int32_t>(axes.size()));
}

// INT4 per row of tensors of 6 rows.
inline Mse make_rows_mse() {
  Mse mse = make_mse();
  const bool good = nvfp4cal_mse_set_int_quantizer(mse.get(), 4, NVFP4CAL_INT_SYMMETRIC) == NVFP4CAL_OK &&
                    set_axes(mse, {0}) == NVFP4CAL_OK && set_amax(mse, {1.0f, 0.9f, 0.8f, 1.1f, 0.0f, 1.0f}, {6, 1}) == NVFP4CAL_OK;
  return good ? std::move(mse) : nullptr;
}

inline nvfp4cal_status collect(const Mse& mse, Floats& x, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(x, shape);
  return nvfp4cal_mse_collect(mse.get(), &tensor, nullptr);
}

inline nvfp4cal_status collect_part(const Mse& mse, uint32_t part) {
  Floats x = random_values(6 * 50, 120 + part);
  return collect(mse, x, {6, 50});
}

inline Result amax(const Mse& mse) {
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_mse_compute_amax(mse.get(), out); });
}

inline Result multipliers(const Mse& mse) {
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_mse_compute_multipliers(mse.get(), out); });
}

inline std::vector<double> losses(const Mse& mse) {
  nvfp4cal_tensor out = question();
  if (nvfp4cal_mse_losses(mse.get(), &out) != NVFP4CAL_OK) return {};
  std::vector<double> values(static_cast<size_t>(count_of(shape_of(out))), -7.0);
  out.data = values.data();
  return nvfp4cal_mse_losses(mse.get(), &out) == NVFP4CAL_OK ? values : std::vector<double>();
}

inline bool close(const std::vector<double>& a, const std::vector<double>& b) {
  bool good = a.size() == b.size();
  for (size_t i = 0; good && i < a.size(); ++i) good = a[i] - b[i] <= 1e-12 * b[i] && b[i] - a[i] <= 1e-12 * b[i];
  return good;
}

inline Bytes exported(const Mse& mse) { return calls::exported(mse.get(), nvfp4cal_mse_export_state); }

inline nvfp4cal_status import_bytes(const Mse& mse, Bytes state) {
  const nvfp4cal_tensor tensor = view(state);
  return nvfp4cal_mse_import_state(mse.get(), &tensor);
}

}  // namespace api_test
