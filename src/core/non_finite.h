// What is said of an element that has no finite float32 value, on every backend.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include "core/dtype.h"

namespace nvfp4cal {

// `value` is the element as it is stored.
inline std::string non_finite_text(const char* name, int64_t index, Dtype dtype, double value) {
  char text[128];
  if (dtype == Dtype::kF64 && std::isfinite(value)) {
    std::snprintf(text, sizeof text, "[%lld] is %g, beyond the range of float32", static_cast<long long>(index), value);
  } else {
    std::snprintf(text, sizeof text, "[%lld] is %s", static_cast<long long>(index),
                  std::isnan(value) ? "NaN"
                  : value > 0       ? "infinite"
                                    : "-infinite");
  }
  return name + std::string(text);
}

}  // namespace nvfp4cal
