// What is said of Hessians that cannot be used, on every backend.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace nvfp4cal {

namespace hessian_text_detail {

template <class... Values>
std::string text(const char* format, Values... values) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

}  // namespace hessian_text_detail

// An element by its flat index in [matrices, n, n].
struct HessianPlace {
  long long matrix;
  int row, column;
  HessianPlace(int64_t flat, int n)
      : matrix(static_cast<long long>(flat / n / n)), row(static_cast<int>(flat / n % n)), column(static_cast<int>(flat % n)) {}
};

// Of searches: the tensor is called hessian.
inline std::string hessian_not_finite_text(const HessianPlace& at, double value) {
  return hessian_text_detail::text("hessian[%lld, %d, %d] is %g", at.matrix, at.row, at.column, value);
}
inline std::string hessian_asymmetric_text(const HessianPlace& at, double value, double mirrored) {
  return hessian_text_detail::text("hessian[%lld] is not symmetric: [%d, %d] is %g and [%d, %d] is %g", at.matrix, at.row, at.column, value,
                                   at.column, at.row, mirrored);
}

// Of single-level blocks: hessians.
inline std::string hessians_asymmetric_text(const HessianPlace& at, double value, double mirrored) {
  return hessian_text_detail::text("hessians[%lld] is not symmetric: element [%d, %d] is %g and [%d, %d] is %g", at.matrix, at.row,
                                   at.column, value, at.column, at.row, mirrored);
}
inline std::string hessian_singular_text(int64_t matrix) {
  return hessian_text_detail::text("hessian %lld is not positive semidefinite: ADMM cannot invert it", static_cast<long long>(matrix));
}

}  // namespace nvfp4cal
