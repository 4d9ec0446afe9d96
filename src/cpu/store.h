// Writing float32 values to an output of another float type, nearest even.
#pragma once

#include <cstdint>

#include "core/tensor_view.h"

namespace nvfp4cal::cpu {

// out[begin .. begin + n) = values; out is contiguous.
void store_floats(const float* values, int64_t n, const TensorView& out, int64_t begin);

}  // namespace nvfp4cal::cpu
