#include "cpu/store.h"

#include <cstring>

#include "num/half.h"

namespace nvfp4cal::cpu {

namespace {

template <class Element, class Convert>
void store(const float* values, int64_t n, char* out, Convert convert) {
  for (int64_t i = 0; i < n; ++i) {
    const Element element = convert(values[i]);
    std::memcpy(out + i * static_cast<int64_t>(sizeof element), &element, sizeof element);
  }
}

}  // namespace

void store_floats(const float* values, int64_t n, const TensorView& out, int64_t begin) {
  char* to = static_cast<char*>(out.data) + begin * static_cast<int64_t>(dtype_size(out.dtype));
  switch (out.dtype) {
    case Dtype::kBf16: return store<uint16_t>(values, n, to, num::f32_to_bf16);
    case Dtype::kF16: return store<uint16_t>(values, n, to, num::f32_to_f16);
    case Dtype::kF64: return store<double>(values, n, to, [](float x) { return static_cast<double>(x); });
    default: std::memcpy(to, values, static_cast<size_t>(n) * 4);
  }
}

}  // namespace nvfp4cal::cpu
