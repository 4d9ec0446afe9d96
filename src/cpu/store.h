// Writing decoded values to an output of any float type.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.h"
#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

// out[begin ..) = the decoded values of `blocks` blocks; out is contiguous. The buffer is used for float64 alone.
void decode_into(const Kernels& kernels, const uint8_t* packed, int block, int64_t blocks, const float* scales, const TensorView& out,
                 int64_t begin, std::vector<float>& buffer);

}  // namespace nvfp4cal::cpu
