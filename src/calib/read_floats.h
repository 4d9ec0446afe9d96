// Elements of small float tensors (options, amaxes, matrices), for calibrators that keep them.
#pragma once

#include <vector>

#include "core/tensor_view.h"

namespace nvfp4cal::calib {

// Elements in row-major order; float64 is rounded to float32. Throws kUnsupported for other dtypes. `name` is the tensor's in messages.
std::vector<float> read_floats(const TensorView& view, const char* name);

// The same as doubles; throws kNotFinite naming the first flat index.
std::vector<double> read_finite(const TensorView& view, const char* name);

}  // namespace nvfp4cal::calib
