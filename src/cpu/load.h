// One element of a span as float32.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/kernels.h"
#include "num/half.h"

namespace nvfp4cal::cpu {

inline float load_element(Span x, int64_t i) {
  if (x.dtype == Dtype::kF32) {
    float value;
    std::memcpy(&value, static_cast<const char*>(x.data) + i * 4, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, static_cast<const char*>(x.data) + i * 2, 2);
  return x.dtype == Dtype::kBf16 ? num::bf16_to_f32(half) : num::f16_to_f32(half);
}

}  // namespace nvfp4cal::cpu
