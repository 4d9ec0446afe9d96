#include "cpu/store.h"

#include <cstring>

namespace nvfp4cal::cpu {

void decode_into(const Kernels& kernels, const uint8_t* packed, int block, int64_t blocks, const float* scales, const TensorView& out,
                 int64_t begin, std::vector<float>& buffer) {
  char* to = static_cast<char*>(out.data) + begin * static_cast<int64_t>(dtype_size(out.dtype));
  if (out.dtype != Dtype::kF64) return kernels.decode(packed, block, blocks, scales, out.dtype, to);
  const int64_t n = blocks * block;
  buffer.resize(static_cast<size_t>(n));
  kernels.decode(packed, block, blocks, scales, Dtype::kF32, buffer.data());
  for (int64_t i = 0; i < n; ++i) {
    const double value = static_cast<double>(buffer[static_cast<size_t>(i)]);
    std::memcpy(to + i * 8, &value, 8);
  }
}

}  // namespace nvfp4cal::cpu
