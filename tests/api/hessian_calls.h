// Calls on nvfp4cal_hessian, and X^T X by plain loops.
#pragma once

#include <cmath>

#include "handles.h"

namespace api_test {

struct DestroyHessian {
  void operator()(nvfp4cal_hessian* handle) const { nvfp4cal_hessian_destroy(handle); }
};
using Hessian = std::unique_ptr<nvfp4cal_hessian, DestroyHessian>;

inline Hessian make_hessian(int32_t layout = NVFP4CAL_HESSIAN_BLOCKS, int32_t block = 16) {
  nvfp4cal_hessian* handle = nullptr;
  if (nvfp4cal_hessian_create(&handle) != NVFP4CAL_OK) return nullptr;
  Hessian hessian(handle);
  const bool good =
      nvfp4cal_hessian_set_layout(handle, layout) == NVFP4CAL_OK && nvfp4cal_hessian_set_block_size(handle, block) == NVFP4CAL_OK;
  return good ? std::move(hessian) : nullptr;
}

inline nvfp4cal_status collect(const Hessian& hessian, Floats& x, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(x, shape);
  return nvfp4cal_hessian_collect(hessian.get(), &tensor, nullptr);
}

inline Result result(const Hessian& hessian) {
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_hessian_compute_hessian(hessian.get(), out); });
}

inline int64_t rows(const Hessian& hessian) {
  int64_t n = -1;
  return nvfp4cal_hessian_rows(hessian.get(), &n) == NVFP4CAL_OK ? n : -1;
}

inline Bytes exported(const Hessian& hessian) {
  nvfp4cal_tensor out = question();
  if (nvfp4cal_hessian_export_state(hessian.get(), &out) != NVFP4CAL_OK) return {};
  Bytes bytes(static_cast<size_t>(count_of(shape_of(out))));
  out.data = bytes.data();
  return nvfp4cal_hessian_export_state(hessian.get(), &out) == NVFP4CAL_OK ? bytes : Bytes();
}

inline nvfp4cal_status import_bytes(const Hessian& hessian, Bytes state) {
  const nvfp4cal_tensor tensor = view(state);
  return nvfp4cal_hessian_import_state(hessian.get(), &tensor);
}

struct Naive {
  int64_t cols;
  int32_t layout = NVFP4CAL_HESSIAN_BLOCKS;
  int64_t block = 16;
  bool normalize = false;
  double damping = 0.0;
};

// In long double, so that the order of its sums cannot matter.
inline Floats naive_hessian(const Floats& x, const Naive& how) {
  const int64_t cols = how.cols, rows = static_cast<int64_t>(x.size()) / cols;
  std::vector<long double> full(static_cast<size_t>(cols * cols));
  for (int64_t r = 0; r < rows; ++r) {
    const float* const row = x.data() + r * cols;
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t j = 0; j < cols; ++j) full[static_cast<size_t>(i * cols + j)] += static_cast<long double>(row[i]) * row[j];
    }
  }
  long double trace = 0;
  for (long double& value : full) value /= how.normalize ? static_cast<long double>(rows) : 1;
  for (int64_t i = 0; i < cols; ++i) trace += full[static_cast<size_t>(i * cols + i)];
  for (int64_t i = 0; i < cols; ++i) full[static_cast<size_t>(i * cols + i)] += how.damping * trace / cols;
  Floats out;
  const auto put = [&](int64_t i, int64_t j) { out.push_back(static_cast<float>(full[static_cast<size_t>(i * cols + j)])); };
  const int64_t part = how.layout == NVFP4CAL_HESSIAN_FULL ? cols : how.layout == NVFP4CAL_HESSIAN_DIAGONAL ? 1 : how.block;
  for (int64_t b = 0; b < cols; b += part) {
    for (int64_t i = b; i < b + part; ++i) {
      for (int64_t j = b; j < b + part; ++j) put(i, j);
    }
  }
  return out;
}

// |a - b| <= 2^-22 of the magnitudes that were summed: one rounding to float32, and float64 noise where terms cancel.
inline int far_from(const Floats& a, const Floats& b, double scale) {
  if (a.size() != b.size()) return -1;
  int far = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    far += !(std::fabs(x - y) <= 0x1p-23 * std::fabs(y) + 1e-14 * scale);
  }
  return far;
}

}  // namespace api_test
