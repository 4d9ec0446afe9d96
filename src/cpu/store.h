// Outputs of decoded values: where a part of one lies, and which go past the caches.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.h"
#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

// What kernels write for an output: float32 for float64.
inline Dtype decoded_kernel_dtype(const TensorView& out) { return out.dtype == Dtype::kF64 ? Dtype::kF32 : out.dtype; }

// Element `begin` of a contiguous output; of float64 the buffer, which then holds n float32 values for store_doubles().
DecodedSpan decoded_span(const TensorView& out, int64_t begin, int64_t n, std::vector<float>& buffer);
// After the span was written: nothing, or its values to float64.
void store_doubles(const TensorView& out, int64_t begin, int64_t n, const std::vector<float>& buffer);

// What a thread has streamed is seen by others that it tells of its work.
void finish_streams();

}  // namespace nvfp4cal::cpu
