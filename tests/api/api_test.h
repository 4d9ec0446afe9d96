// What the tests of the C ABI share: views of vectors, owners of handles, seeded values.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "nvfp4cal.h"
#include "support/catch.h"

namespace api_test {

using Shape = std::vector<int64_t>;
using Bytes = std::vector<uint8_t>;
using Floats = std::vector<float>;

inline size_t dtype_size(int32_t dtype) { return static_cast<size_t>(dtype >> 8 & 0xFF) / 8; }

inline int64_t count_of(const Shape& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

inline nvfp4cal_tensor view(void* data, int32_t dtype, const Shape& shape) {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.data = data;
  tensor.dtype = dtype;
  tensor.ndim = static_cast<int32_t>(shape.size());
  for (size_t d = 0; d < shape.size(); ++d) tensor.shape[d] = shape[d];
  return tensor;
}

template <class T>
nvfp4cal_tensor view(std::vector<T>& values, const Shape& shape) {
  constexpr int32_t dtype = std::is_same_v<T, float>    ? NVFP4CAL_DTYPE_F32
                            : std::is_same_v<T, double> ? NVFP4CAL_DTYPE_F64
                                                        : NVFP4CAL_DTYPE_U8;
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, uint8_t>);
  return view(values.data(), dtype, shape);
}

template <class T>
nvfp4cal_tensor view(std::vector<T>& values) {
  return view(values, {static_cast<int64_t>(values.size())});
}

inline nvfp4cal_tensor scalar(float& value) { return view(&value, NVFP4CAL_DTYPE_F32, {}); }

inline nvfp4cal_tensor strided(void* data, int32_t dtype, const Shape& shape, const Shape& strides) {
  nvfp4cal_tensor tensor = view(data, dtype, shape);
  tensor.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
  for (size_t d = 0; d < strides.size(); ++d) tensor.strides[d] = strides[d];
  return tensor;
}

// A question for an output's dtype and shape.
inline nvfp4cal_tensor question(int32_t dtype = 0) {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.dtype = dtype;
  return tensor;
}

inline Shape shape_of(const nvfp4cal_tensor& tensor) { return {tensor.shape, tensor.shape + tensor.ndim}; }

inline nvfp4cal_options options() {
  nvfp4cal_options result{};
  result.struct_size = sizeof result;
  return result;
}

inline nvfp4cal_options options_of(int32_t method, int32_t block, int32_t normalization) {
  nvfp4cal_options result = options();
  result.method = method;
  result.block_size = block;
  result.normalization = normalization;
  return result;
}

struct Destroy {
  void operator()(nvfp4cal_max* handle) const { nvfp4cal_max_destroy(handle); }
  void operator()(nvfp4cal_sweep* handle) const { nvfp4cal_sweep_destroy(handle); }
  void operator()(nvfp4cal_checkpoint* handle) const { nvfp4cal_checkpoint_destroy(handle); }
  void operator()(nvfp4cal_context* handle) const { nvfp4cal_context_destroy(handle); }
};
using Max = std::unique_ptr<nvfp4cal_max, Destroy>;
using Sweep = std::unique_ptr<nvfp4cal_sweep, Destroy>;
using Checkpoint = std::unique_ptr<nvfp4cal_checkpoint, Destroy>;
using Context = std::unique_ptr<nvfp4cal_context, Destroy>;

template <class Handle>
std::unique_ptr<Handle, Destroy> owned(nvfp4cal_status (*create)(Handle**)) {
  Handle* handle = nullptr;
  if (create(&handle) != NVFP4CAL_OK) return nullptr;
  return std::unique_ptr<Handle, Destroy>(handle);
}

inline Max make_max() { return owned(nvfp4cal_max_create); }
inline Sweep make_sweep() { return owned(nvfp4cal_sweep_create); }
inline Checkpoint make_checkpoint() { return owned(nvfp4cal_checkpoint_create); }
inline Context make_context() { return owned(nvfp4cal_context_create); }

inline std::string last_error() { return nvfp4cal_last_error(); }

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Bit for bit, so that NaN equals itself and -0 differs from 0.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Values of many magnitudes and both signs, as weights have them. The engine's numbers are the same everywhere.
inline Floats random_values(size_t n, uint32_t seed) {
  std::mt19937 engine(seed);
  Floats values(n);
  for (float& value : values) {
    const float fraction = static_cast<float>(static_cast<int>(engine() >> 8) - (1 << 23)) * 0x1p-23f;
    const float scale = engine() % 8 == 0 ? 1.0f : 0.0625f;
    value = fraction * scale;
  }
  return values;
}

inline float amax_of(const Floats& values) {
  float amax = 0.0f;
  for (const float value : values) amax = std::max(amax, value < 0 ? -value : value);
  return amax;
}

// Exact for values that bfloat16 holds; others lose their low bits.
inline uint16_t truncated_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>(bits >> 16);
}

inline float bf16_value(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

}  // namespace api_test
