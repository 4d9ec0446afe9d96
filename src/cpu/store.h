// Outputs of decoded values: where a part of one lies, and which go past the caches.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.h"
#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

// Element `begin` of a contiguous output; of float64 the buffer, which then holds n float32 values for store_doubles().
DecodedSpan decoded_span(const TensorView& out, int64_t begin, int64_t n, std::vector<float>& buffer);
// After the span was written: nothing, or its values to float64.
void store_doubles(const TensorView& out, int64_t begin, int64_t n, const std::vector<float>& buffer);

// What a thread has streamed is seen by others that it tells of its work.
void finish_streams();

}  // namespace nvfp4cal::cpu
