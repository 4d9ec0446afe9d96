// Any elements of a tensor as contiguous float32.
#pragma once

#include <vector>

#include "cpu/chunk.h"

namespace nvfp4cal::cpu {

class FloatReader {
 public:
  FloatReader(const Kernels& kernels, const TensorView& view) : kernels_(kernels), reader_(view) {}

  // Elements [begin, begin + n), where they lie if they are float32 already; valid until the next call.
  const float* read(int64_t begin, int64_t n) {
    const Span span = reader_.read(begin, n);
    const bool aligned = reinterpret_cast<uintptr_t>(span.data) % alignof(float) == 0;
    if (span.dtype == Dtype::kF32 && aligned) return static_cast<const float*>(span.data);
    if (static_cast<int64_t>(buffer_.size()) < n) buffer_.resize(static_cast<size_t>(n));
    kernels_.to_floats(span, n, buffer_.data());
    return buffer_.data();
  }

 private:
  const Kernels& kernels_;
  SpanReader reader_;
  std::vector<float> buffer_;
};

}  // namespace nvfp4cal::cpu
