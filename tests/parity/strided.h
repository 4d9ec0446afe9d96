// Tensors of any dtype and strides, with their elements as a row-major float32 list to compare with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/tensor_view.h"
#include "support/blocks.h"

namespace nvfp4cal::test {

struct StridedTensor {
  std::vector<char> storage;
  TensorView view;            // into storage
  std::vector<float> values;  // row-major; float64 rounded to float32

  StridedTensor() = default;
  StridedTensor(StridedTensor&&) = default;
  StridedTensor(const StridedTensor&) = delete;
};

// Where flat index i lies, in elements from view.data.
inline int64_t offset_of(const TensorView& view, int64_t flat) {
  int64_t offset = 0;
  for (int d = view.ndim - 1; d >= 0; --d) {
    offset += flat % view.shape[d] * view.strides[d];
    flat /= view.shape[d];
  }
  return offset;
}

inline float element_of(const TensorView& view, int64_t flat) {
  const char* const at = static_cast<const char*>(view.data) + offset_of(view, flat) * static_cast<int64_t>(dtype_size(view.dtype));
  double wide;
  float value;
  uint16_t half;
  if (view.dtype == Dtype::kF64) return std::memcpy(&wide, at, 8), static_cast<float>(wide);
  if (view.dtype == Dtype::kF32) return std::memcpy(&value, at, 4), value;
  std::memcpy(&half, at, 2);
  return view.dtype == Dtype::kBf16 ? num::bf16_to_f32(half) : num::f16_to_f32(half);
}

inline void set_element(const TensorView& view, int64_t flat, double value) {
  char* const at = static_cast<char*>(view.data) + offset_of(view, flat) * static_cast<int64_t>(dtype_size(view.dtype));
  const float narrow = static_cast<float>(value);
  const uint16_t half = view.dtype == Dtype::kBf16 ? num::f32_to_bf16(narrow) : num::f32_to_f16(narrow);
  if (view.dtype == Dtype::kF64) {
    std::memcpy(at, &value, 8);
  } else if (view.dtype == Dtype::kF32) {
    std::memcpy(at, &narrow, 4);
  } else {
    std::memcpy(at, &half, 2);
  }
}

enum class Layout { kContiguous, kTransposed, kNegative, kSliced, kBroadcast, kRandom, kCount };

// Strides of a layout: memory order, gaps between elements, direction. Returns the elements of storage that are needed.
inline int64_t set_layout(TensorView& view, Layout layout, Random& random, int64_t& first) {
  std::vector<int> order(static_cast<size_t>(view.ndim));  // of the dimensions in memory, innermost last
  std::iota(order.begin(), order.end(), 0);
  const bool any = layout == Layout::kRandom;
  if (layout == Layout::kTransposed) std::reverse(order.begin(), order.end());
  for (size_t i = order.size(); any && i > 1; --i)
    std::swap(order[i - 1], order[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
  int64_t step = 1;
  first = 0;
  for (size_t i = order.size(); i-- > 0;) {
    const int d = order[i];
    if (layout == Layout::kSliced || (any && random.chance(0.4))) step *= 1 + random.below(3);
    view.strides[d] = step;
    if ((layout == Layout::kBroadcast && d == 0) || (any && random.chance(0.15))) {
      view.strides[d] = 0;
      continue;
    }
    if (layout == Layout::kNegative || (any && random.chance(0.3))) {
      first += step * (view.shape[d] - 1);
      view.strides[d] = -step;
    }
    step *= view.shape[d];
  }
  view.contiguous = layout == Layout::kContiguous;
  return step + 8;
}

// value(random) gives each stored element.
template <class Value>
StridedTensor make_strided(Dtype dtype, const std::vector<int64_t>& shape, Layout layout, Random& random, Value&& value) {
  StridedTensor tensor;
  tensor.view = make_view(nullptr, dtype, static_cast<int>(shape.size()), shape.data());
  int64_t first = 0;
  const int64_t stored = set_layout(tensor.view, layout, random, first), size = static_cast<int64_t>(dtype_size(dtype));
  tensor.storage.resize(static_cast<size_t>(stored * size + 3));
  const int64_t shift = random.below(4);  // bytes: any alignment
  TensorView flat = make_view(tensor.storage.data() + shift, dtype, 1, &stored);
  for (int64_t i = 0; i < stored; ++i) set_element(flat, i, value(random));
  tensor.view.data = tensor.storage.data() + shift + first * size;
  const int64_t n = tensor.view.elements();
  for (int64_t i = 0; i < n; ++i) tensor.values.push_back(element_of(tensor.view, i));
  return tensor;
}

}  // namespace nvfp4cal::test
