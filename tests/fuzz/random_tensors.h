// Random nvfp4cal_tensor structs: most of them right, all of them inside memory that the program owns if the library takes them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "nvfp4cal.h"

namespace fuzz {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t bits() { return engine_(); }
  int64_t between(int64_t low, int64_t high) { return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1)); }
  bool one_in(int64_t n) { return between(1, n) == 1; }
  template <class T, size_t n>
  T pick(const T (&values)[n]) {
    return values[between(0, static_cast<int64_t>(n) - 1)];
  }

 private:
  std::mt19937_64 engine_;
};

inline constexpr int64_t kMemory = 1 << 17;
inline constexpr int32_t kDtypes[] = {NVFP4CAL_DTYPE_I8,  NVFP4CAL_DTYPE_U8,   NVFP4CAL_DTYPE_F16, NVFP4CAL_DTYPE_F32,
                                      NVFP4CAL_DTYPE_F64, NVFP4CAL_DTYPE_BF16, NVFP4CAL_DTYPE_E4M3};

inline int64_t dtype_size(int32_t dtype) { return (dtype >> 8 & 0xFF) / 8; }

// Memory with values of every kind: mostly moderate floats, sometimes raw bits.
inline std::vector<uint8_t> random_memory(Random& random) {
  std::vector<uint8_t> memory(static_cast<size_t>(kMemory));
  const bool raw = random.one_in(4);
  for (size_t i = 0; i < memory.size(); i += 4) {
    const uint32_t bits = static_cast<uint32_t>(random.bits());
    const float value = static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31f;
    std::memcpy(&memory[i], raw ? static_cast<const void*>(&bits) : &value, 4);
  }
  return memory;
}

// Puts data somewhere in memory so that every element lies inside, whatever dtype up to 8 bytes it is read as.
inline void place(nvfp4cal_tensor& tensor, std::vector<uint8_t>& memory, Random& random) {
  int64_t low = 0, high = 0, step = 1;
  for (int d = tensor.ndim - 1; d >= 0; --d) {
    const int64_t extent = std::max<int64_t>(tensor.shape[d], 1);
    const int64_t stride = tensor.flags & NVFP4CAL_TENSOR_HAS_STRIDES ? tensor.strides[d] : step;
    (stride < 0 ? low : high) += (extent - 1) * stride;
    step *= extent;
  }
  const int64_t bytes = (high - low + 1) * 8;
  if (bytes > static_cast<int64_t>(memory.size())) {
    tensor.ndim = 0;
    tensor.data = memory.data();
    return;
  }
  tensor.data = memory.data() + random.between(0, static_cast<int64_t>(memory.size()) - bytes) - low * 8;
}

// One field that may make the struct wrong, without making it point outside of memory.
inline void spoil(nvfp4cal_tensor& tensor, Random& random) {
  constexpr int64_t kHuge[] = {INT64_MAX, INT64_MIN, int64_t{1} << 62, int64_t{1} << 40, -1};
  switch (random.between(0, 9)) {
    case 0: tensor.struct_size = static_cast<uint32_t>(random.between(0, 400)); return;
    case 1: tensor.flags |= static_cast<uint32_t>(random.bits()) & ~NVFP4CAL_TENSOR_HAS_STRIDES; return;
    case 2: tensor.ndim = static_cast<int32_t>(random.between(-2, 10)); return;
    case 3: tensor.ndim = static_cast<int32_t>(random.bits()); return;
    case 4: tensor.dtype = static_cast<int32_t>(random.bits()); return;
    case 5:
      tensor.device_type = static_cast<int32_t>(random.one_in(2) ? random.between(-1, 4) : static_cast<int64_t>(random.bits()));
      return;
    case 6: tensor.data = nullptr; return;
    default: {  // no elements at all, or more than memory can have
      tensor.ndim = static_cast<int32_t>(random.between(2, NVFP4CAL_MAX_NDIM));
      for (int d = 0; d < tensor.ndim; ++d) tensor.shape[d] = random.one_in(2) ? random.between(0, 64) : random.pick(kHuge);
      tensor.shape[random.between(0, tensor.ndim - 1)] = random.one_in(2) ? 0 : INT64_MAX;
      tensor.shape[0] = tensor.ndim > 2 && random.one_in(2) ? int64_t{1} << 62 : tensor.shape[0];
      bool empty = false;
      for (int d = 0; d < tensor.ndim; ++d) empty = empty || tensor.shape[d] <= 0;
      if (!empty) tensor.shape[0] = INT64_MAX;
      if (!empty && tensor.shape[1] < 2) tensor.shape[1] = 2;  // together beyond 2^63
    }
  }
}

// A view of memory, of a shape that functions like: rows by whole blocks.
inline nvfp4cal_tensor random_tensor(std::vector<uint8_t>& memory, Random& random) {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.dtype = random.one_in(2) ? NVFP4CAL_DTYPE_F32 : random.pick(kDtypes);
  tensor.ndim = static_cast<int32_t>(random.one_in(8) ? random.between(0, 5) : random.between(1, 3));
  for (int d = 0; d < tensor.ndim; ++d) tensor.shape[d] = random.between(random.one_in(6) ? 0 : 1, 6);
  if (tensor.ndim > 0 && !random.one_in(5)) tensor.shape[tensor.ndim - 1] = 16 * random.between(1, 4);
  if (random.one_in(3)) {
    tensor.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
    for (int d = 0; d < NVFP4CAL_MAX_NDIM; ++d) tensor.strides[d] = random.between(-70, 70);
  }
  place(tensor, memory, random);
  if (random.one_in(6)) spoil(tensor, random);
  return tensor;
}

inline nvfp4cal_tensor contiguous(void* data, int32_t dtype, std::initializer_list<int64_t> shape) {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.data = data;
  tensor.dtype = dtype;
  for (const int64_t extent : shape) tensor.shape[tensor.ndim++] = extent;
  return tensor;
}

}  // namespace fuzz
