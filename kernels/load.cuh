// Elements of tensors as float32: where the tensor is contiguous and aligned 16 bytes at a time, else one by one at any strides. And pairs of 16-bit numbers.
#pragma once

#include <math.h>

#include <cstdint>

#include "core/tensor_view.h"
#include "kernels/require_aligned.cuh"
#include "num/half.h"

namespace nvfp4cal::cuda {

// Where the element with a flat (row-major) index lies, in elements.
NVFP4CAL_HD inline int64_t offset_of(const TensorView& x, int64_t flat) {
  if (x.contiguous) return flat;
  int64_t offset = 0;
  for (int d = x.ndim - 1; d >= 0; --d) {
    offset += flat % x.shape[d] * x.strides[d];
    flat /= x.shape[d];
  }
  return offset;
}

// The element as it is stored.
NVFP4CAL_HD inline double stored_at(const TensorView& x, int64_t flat) {
  const int64_t offset = offset_of(x, flat);
  switch (x.dtype) {
    case Dtype::kF64: return static_cast<const double*>(x.data)[offset];
    case Dtype::kBf16: return num::bf16_to_f32(static_cast<const uint16_t*>(x.data)[offset]);
    case Dtype::kF16: return num::f16_to_f32(static_cast<const uint16_t*>(x.data)[offset]);
    default: return static_cast<const float*>(x.data)[offset];
  }
}

// float64 is rounded; values beyond float32's range become infinite.
NVFP4CAL_HD inline float value_at(const TensorView& x, int64_t flat) { return static_cast<float>(stored_at(x, flat)); }

NVFP4CAL_HD inline uint8_t byte_at(const TensorView& x, int64_t flat) { return static_cast<const uint8_t*>(x.data)[offset_of(x, flat)]; }

struct alignas(16) Words {
  uint32_t at[4];
};

// One 16-byte load.
NVFP4CAL_HD inline Words load_words(const void* from) {
  require_aligned<sizeof(Words)>(from);
#if defined(__CUDA_ARCH__)
  const uint4 loaded = *static_cast<const uint4*>(from);
  return {{loaded.x, loaded.y, loaded.z, loaded.w}};
#else
  Words words;
  memcpy(&words, from, sizeof words);
  return words;
#endif
}

// One 16-byte store.
NVFP4CAL_HD inline void store_words(void* to, const Words& words) {
  require_aligned<sizeof(Words)>(to);
#if defined(__CUDA_ARCH__)
  *static_cast<uint4*>(to) = make_uint4(words.at[0], words.at[1], words.at[2], words.at[3]);
#else
  memcpy(to, &words, sizeof words);
#endif
}

// Two 16-bit numbers, the first in the lower half. (A device may make another NaN of a NaN.)
NVFP4CAL_HD inline uint32_t bf16_pair(float first, float second) {
#if defined(__CUDA_ARCH__)
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return num::f32_to_bf16(first) | static_cast<uint32_t>(num::f32_to_bf16(second)) << 16;
#endif
}

NVFP4CAL_HD inline uint32_t f16_pair(float first, float second) {
#if defined(__CUDA_ARCH__)
  uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return num::f32_to_f16(first) | static_cast<uint32_t>(num::f32_to_f16(second)) << 16;
#endif
}

// The larger ones of two pairs of magnitudes of finite 16-bit numbers, as their bits.
template <Dtype dtype>
NVFP4CAL_HD inline uint32_t max_of_pairs(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  uint32_t largest;
  if constexpr (dtype == Dtype::kBf16) {
    asm("max.bf16x2 %0, %1, %2;" : "=r"(largest) : "r"(a), "r"(b));
  } else {
    asm("max.f16x2 %0, %1, %2;" : "=r"(largest) : "r"(a), "r"(b));
  }
  return largest;
#else
  const uint32_t low[2] = {a & 0xFFFFu, b & 0xFFFFu}, high[2] = {a & 0xFFFF0000u, b & 0xFFFF0000u};
  return low[low[1] > low[0]] | high[high[1] > high[0]];
#endif
}

template <int kCount, class Reader>
NVFP4CAL_HD float read_plain_block(const Reader& x, int64_t flat, float* out) {
  NVFP4CAL_UNROLL
  for (int i = 0; i < kCount; i += 8) x.read(flat + i, out + i);
  float largest = fabsf(out[0]);
  NVFP4CAL_UNROLL
  for (int i = 1; i < kCount; ++i) largest = fmaxf(largest, fabsf(out[i]));
  return largest;
}

// Reads 8 consecutive elements, the first a multiple of 8.
template <Dtype dtype>
struct PackedReader {
  static constexpr bool kIsPacked = true;
  const void* data;

  NVFP4CAL_HD void read(int64_t flat, float* out) const {
    if constexpr (dtype == Dtype::kF32) {
      const float* const from = static_cast<const float*>(data) + flat;
      const Words words[2] = {load_words(from), load_words(from + 4)};
      for (int i = 0; i < 8; ++i) out[i] = num::from_bits(words[i / 4].at[i % 4]);
    } else {
      unpack(load_words(static_cast<const uint16_t*>(data) + flat), out);
    }
  }

  // kCount elements; returns the largest magnitude, if all are finite.
  template <int kCount>
  NVFP4CAL_HD float read_block(int64_t flat, float* out) const {
    if constexpr (dtype == Dtype::kF32) {
      return read_plain_block<kCount>(*this, flat, out);
    } else {
      uint32_t pairs = 0;
      NVFP4CAL_UNROLL
      for (int i = 0; i < kCount; i += 8) {
        const Words words = load_words(static_cast<const uint16_t*>(data) + flat + i);
        for (int k = 0; k < 4; ++k) pairs = max_of_pairs<dtype>(pairs, words.at[k] & 0x7FFF7FFFu);
        unpack(words, out + i);
      }
      return fmaxf(unpacked(static_cast<uint16_t>(pairs)), unpacked(static_cast<uint16_t>(pairs >> 16)));
    }
  }

 private:
  NVFP4CAL_HD static float unpacked(uint16_t half) { return dtype == Dtype::kBf16 ? num::bf16_to_f32(half) : num::f16_to_f32(half); }
  NVFP4CAL_HD static void unpack(const Words& words, float* out) {
    for (int i = 0; i < 8; ++i) out[i] = unpacked(static_cast<uint16_t>(words.at[i / 2] >> (i % 2 * 16)));
  }
};

struct AnyReader {
  static constexpr bool kIsPacked = false;
  TensorView view;

  NVFP4CAL_HD void read(int64_t flat, float* out) const {
    for (int i = 0; i < 8; ++i) out[i] = value_at(view, flat + i);
  }
  template <int kCount>
  NVFP4CAL_HD float read_block(int64_t flat, float* out) const {
    return read_plain_block<kCount>(*this, flat, out);
  }
};

// body(reader) with the fastest one that can read x.
template <class Body>
auto with_reader(const TensorView& x, Body&& body) {
  if (x.contiguous && reinterpret_cast<uintptr_t>(x.data) % 16 == 0) {
    switch (x.dtype) {
      case Dtype::kF32: return body(PackedReader<Dtype::kF32>{x.data});
      case Dtype::kBf16: return body(PackedReader<Dtype::kBf16>{x.data});
      case Dtype::kF16: return body(PackedReader<Dtype::kF16>{x.data});
      default: break;
    }
  }
  return body(AnyReader{x});
}

}  // namespace nvfp4cal::cuda
