// The caller's own quantization and error: they throw to stop. Views lie in host memory; out is contiguous.
#pragma once

#include <cstdint>
#include <functional>

#include "core/tensor_view.h"

namespace nvfp4cal::calib {

using QuantizeFunction = std::function<void(const TensorView& x, const TensorView& amax, const TensorView& out)>;
using ErrorFunction = std::function<void(const TensorView& x, const TensorView& quantized, const TensorView& out)>;

// What an error function fills in. The values are NVFP4CAL_ERRORS_*.
enum class ErrorValues : int32_t { kElements = 0, kScalar = 1 };

}  // namespace nvfp4cal::calib
