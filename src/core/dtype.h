// Element types of tensors; the values are those of nvfp4cal.h (DLPack's code | bits << 8 | lanes << 16).
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvfp4cal {

enum class Dtype : int32_t {
  kI8 = 0x10800,
  kU8 = 0x10801,
  kF16 = 0x11002,
  kF32 = 0x12002,
  kF64 = 0x14002,
  kBf16 = 0x11004,
  kE4m3 = 0x1080A,
  kI64 = 0x14000,
};

constexpr size_t dtype_size(Dtype dtype) { return static_cast<size_t>(static_cast<int32_t>(dtype) >> 8 & 0xFF) / 8; }

constexpr bool is_float_input(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kBf16 || dtype == Dtype::kF16 || dtype == Dtype::kF64;
}

// "float32", or "dtype 0x12345" for a number without a name.
const char* dtype_name(Dtype dtype);

}  // namespace nvfp4cal
