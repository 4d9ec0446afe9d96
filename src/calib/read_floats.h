// Elements of small float tensors, for calibrators that keep them.
#pragma once

#include <vector>

#include "core/tensor_view.h"

namespace nvfp4cal::calib {

// The element of a float tensor at an offset (in elements) as float32.
float read_element(const TensorView& view, int64_t offset);

// Elements in row-major order, rounded to float32 first; throws kUnsupported for other dtypes and kNotFinite naming the first
// flat index. `name` is the tensor's in messages.
std::vector<double> read_finite(const TensorView& view, const char* name);

}  // namespace nvfp4cal::calib
