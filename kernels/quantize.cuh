// Elements to nibbles and block scales, and back. docs/numerics.md 2 and 3; the arithmetic is num/scale.h's.
#pragma once

#include <math.h>

#include "core/device_ops.h"
#include "core/scale_tiles.h"
#include "kernels/check.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"
#include "kernels/quotient.cuh"
#include "num/e2m1.h"
#include "num/scale.h"

namespace nvfp4cal::cuda {

// One 8-byte store.
NVFP4CAL_HD inline void store_pair(void* to, uint32_t first, uint32_t second) {
  require_aligned<sizeof(uint64_t)>(to);
  *static_cast<uint64_t*>(to) = first | static_cast<uint64_t>(second) << 32;
}

// Writes 8 consecutive elements, the first a multiple of 8, of a contiguous tensor; `aligned`: its memory is to 16 bytes.
NVFP4CAL_HD inline void store_8(const TensorView& out, bool aligned, int64_t flat, const float* values) {
  if (out.dtype == Dtype::kF32) {
    float* const to = static_cast<float*>(out.data) + flat;
    for (int i = 0; i < 8; i += 4) {
      const Words words = {
          {num::bits_of(values[i]), num::bits_of(values[i + 1]), num::bits_of(values[i + 2]), num::bits_of(values[i + 3])}};
      if (aligned) {
        store_words(to + i, words);
      } else {
        for (int k = 0; k < 4; ++k) to[i + k] = values[i + k];
      }
    }
  } else if (out.dtype == Dtype::kF64) {
    for (int i = 0; i < 8; ++i) static_cast<double*>(out.data)[flat + i] = static_cast<double>(values[i]);
  } else {
    Words words;
    for (int i = 0; i < 4; ++i) {
      words.at[i] = out.dtype == Dtype::kBf16 ? bf16_pair(values[2 * i], values[2 * i + 1]) : f16_pair(values[2 * i], values[2 * i + 1]);
    }
    uint16_t* const to = static_cast<uint16_t*>(out.data) + flat;
    if (aligned) {
      store_words(to, words);
    } else {
      for (int i = 0; i < 8; ++i) to[i] = static_cast<uint16_t>(words.at[i / 2] >> (i % 2 * 16));
    }
  }
}

// A tensor that is written 8 elements at a time.
struct Output {
  TensorView view;
  bool aligned;

  explicit Output(const TensorView& out) : view(out), aligned(reinterpret_cast<uintptr_t>(out.data) % 16 == 0) {}
  NVFP4CAL_HD void store(int64_t flat, const float* values) const { store_8(view, aligned, flat, values); }
};

// The code of a block from its largest magnitude where G is near float32's ends. One below 2^-126 or so is multiplied up with it, as on the CPU: the quotient
// has a float32 value.
NVFP4CAL_HD inline uint8_t max_code_of_extreme(float largest, float global_amax, float normalization) {
  const int exponent = num::normalizing_exponent(global_amax);  // -127 .. 149
  const int first = exponent > 126 ? 126 : exponent < -126 ? -126 : exponent;
  const float a = num::pow2(first), b = num::pow2(exponent - first);
  return num::max_code(largest * a * b, num::global_scale(global_amax * a * b, normalization));
}

// The same for any G. Where all is far from float32's ends, powers of two change no bit of it: `scale`, s2, serves.
NVFP4CAL_HD inline BlockScale max_scale_of(float largest, float global_amax, float scale, float normalization) {
  const Reciprocal unit(6.0f * scale);
  const float quotient = unit.quotient(largest);
  if (unit.is_ordinary() && quotient > 0x1p-20f) return scale_of_quotient(quotient);  // neither 0 nor overflowed
  if (global_amax > 0x1p-100f && global_amax < 0x1p100f) return BlockScale(num::max_code(largest, scale));
  return BlockScale(max_code_of_extreme(largest, global_amax, normalization));
}

// Where elements go as codes, a block at a time.
template <int kBlock>
struct NibbleWriter {
  uint8_t* packed;
  bool is_aligned;  // to 8 bytes; else to 4

  NVFP4CAL_HD void write(int64_t block, const float* values, const Reciprocal& step) const {
    uint32_t nibbles[kBlock / 8];
    if (step.is_ordinary()) {
      const float lost = lost_below(step.by);
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock / 8; ++i) nibbles[i] = nibbles_of_8(values + 8 * i, step, lost);
    } else {
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock / 8; ++i) nibbles[i] = divided_nibbles_of_8(values + 8 * i, step.by);
    }
    uint8_t* const to = packed + block * (kBlock / 2);
    if (is_aligned) {
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock / 8; i += 2) store_pair(to + 4 * i, nibbles[i], nibbles[i + 1]);
    } else {
      require_aligned<sizeof(uint32_t)>(to);
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock / 8; ++i) reinterpret_cast<uint32_t*>(to)[i] = nibbles[i];
    }
  }
};

// Where they go as what their codes stand for.
template <int kBlock>
struct DecodedWriter {
  Output out;

  NVFP4CAL_HD void write(int64_t block, const float* values, const Reciprocal& step) const {
    float decoded[kBlock];
    if (step.is_ordinary()) {
      const float lost = lost_below(step.by);
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock; ++i) decoded[i] = decoded_value(values[i], step, lost);
    } else {
      NVFP4CAL_UNROLL
      for (int i = 0; i < kBlock; ++i) decoded[i] = num::e2m1_value(num::e2m1_code(values[i] / step.by)) * step.by;
    }
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; i += 8) out.store(block * kBlock + i, decoded + i);
  }
};

// A thread takes one block.
template <class Reader, class Writer, int kBlock>
struct Quantize {
  static constexpr int kThreads = 256;
  Reader x;
  int64_t blocks, slices, blocks_per_slice;
  float normalization;
  const float *amax, *scale, *block_amax;
  const uint8_t* codes;
  uint8_t* scales;
  Writer out;
  const DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t b = index.block * kThreads + index.thread;
    if (b >= blocks || !is_clean(*check)) return;
    float values[kBlock];
    const float largest = x.template read_block<kBlock>(b * kBlock, values);
    const int64_t slice = slices == 1 ? 0 : b / blocks_per_slice;
    const float s2 = scale[slice];
    const BlockScale of_block = scale_of(b, amax[slice], s2, largest);
    if (scales) scales[b] = of_block.code;
    out.write(b, values, Reciprocal(num::stored_scale(of_block.value, s2)));
  }

 private:
  NVFP4CAL_HD BlockScale scale_of(int64_t b, float global_amax, float s2, float largest) const {
    if (global_amax == 0.0f) return BlockScale(num::kE4m3One);
    if (codes) return BlockScale(codes[b]);
    if (block_amax) return BlockScale(num::code_of_amax(block_amax[b], global_amax, normalization));
    return max_scale_of(largest, global_amax, s2, normalization);
  }
};

// check.first_other: the first amax that is negative or not finite.
struct CheckAmaxes {
  static constexpr int kThreads = 256;
  const float* amax;
  int64_t count;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t i = index.block * kThreads + index.thread;
    if (i < count && !(amax[i] >= 0.0f && num::is_finite(amax[i]))) keep_min(&check->first_other, static_cast<uint64_t>(i));
  }
};

// The fault of the first such amax, or scale.
struct CloseAmaxes {
  static constexpr int kThreads = 1;
  const float* amax;
  bool is_scale;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index&) const {
    if (check->first_other == kNoIndex) return;
    const int64_t i = static_cast<int64_t>(check->first_other);
    const DeviceFault negative = is_scale ? DeviceFault::kScaleNegative : DeviceFault::kBlockNegative;
    const DeviceFault not_finite = is_scale ? DeviceFault::kScaleNotFinite : DeviceFault::kBlockNotFinite;
    set_fault(*check, num::is_finite(amax[i]) ? negative : not_finite, i, amax[i]);
  }
};

// check.first_other: the first scale byte that is NaN.
struct CheckScales {
  static constexpr int kThreads = 256;
  TensorView scales;
  int64_t count;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t i = index.block * kThreads + index.thread;
    if (i < count && (byte_at(scales, i) & 0x7F) == num::kE4m3Nan) keep_min(&check->first_other, static_cast<uint64_t>(i));
  }
};

struct CloseScales {
  static constexpr int kThreads = 1;
  TensorView scales;
  const float* global_scale;
  int64_t slices;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index&) const {
    for (int64_t s = 0; s < slices && is_clean(*check); ++s) {
      const float value = global_scale[s];
      if (!num::is_finite(value)) set_fault(*check, DeviceFault::kDecodeNotFinite, s, value);
      if (!(value > 0.0f)) set_fault(*check, DeviceFault::kDecodeNotPositive, s, value);
    }
    if (check->first_other == kNoIndex) return;
    const int64_t i = static_cast<int64_t>(check->first_other);
    set_fault(*check, DeviceFault::kScaleNan, i, byte_at(scales, i));
  }
};

// A thread takes 16 elements, which share a scale.
struct Dequantize {
  static constexpr int kThreads = 256;
  static constexpr int kElements = 16;
  TensorView packed, scales;
  bool is_packed_aligned;  // contiguous, and aligned to 8 bytes
  int block;
  int64_t elements, slices, elements_per_slice;
  const float* global_scale;
  DecodeOrder order;
  Output out;
  const DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t flat = (index.block * kThreads + index.thread) * kElements;
    if (flat >= elements || !is_clean(*check)) return;
    const float value = num::e4m3_value(byte_at(scales, block == 16 ? flat / 16 : flat / 32));
    const float global = global_scale[slices == 1 ? 0 : flat / elements_per_slice];
    const float step = order == DecodeOrder::kModelopt ? num::stored_scale(value, global) : num::stored_scale_reciprocal(value, global);
    const uint64_t nibbles = nibbles_at(flat / 2);
    NVFP4CAL_UNROLL
    for (int i = 0; i < kElements; i += 8) {
      float values[8];
      NVFP4CAL_UNROLL
      for (int k = 0; k < 8; ++k) values[k] = num::e2m1_value(static_cast<uint8_t>(nibbles >> (4 * (i + k)) & 15)) * step;
      out.store(flat + i, values);
    }
  }

 private:
  // 8 bytes, the first in the lowest place.
  NVFP4CAL_HD uint64_t nibbles_at(int64_t byte) const {
    if (is_packed_aligned) {
      const uint8_t* const from = static_cast<const uint8_t*>(packed.data) + byte;
      require_aligned<sizeof(uint64_t)>(from);
      return *reinterpret_cast<const uint64_t*>(from);
    }
    uint64_t nibbles = 0;
    NVFP4CAL_NO_UNROLL
    for (int i = 0; i < 8; ++i) nibbles |= static_cast<uint64_t>(byte_at(packed, byte + i)) << (8 * i);
    return nibbles;
  }
};

// Linear scales to tiles, a thread a byte of the tiles with their padding, or back, a thread a scale.
struct Swizzle {
  static constexpr int kThreads = 256;
  TensorView linear;  // [stack, rows, k]
  uint8_t* tiles;
  bool to_tiles;
  int64_t count;
  const DeviceCheck* check;

  NVFP4CAL_HD int64_t padded_rows() const { return ceil_div(linear.shape[1], 128) * 128; }
  NVFP4CAL_HD int64_t padded_columns() const { return ceil_div(linear.shape[2], 4) * 4; }

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t i = index.block * kThreads + index.thread;
    if (i >= count || !is_clean(*check)) return;
    const int64_t rows = to_tiles ? padded_rows() : linear.shape[1], columns = to_tiles ? padded_columns() : linear.shape[2];
    const int64_t matrix = i / (rows * columns), m = i / columns % rows, k = i % columns;
    uint8_t* const tile = tiles + matrix * (padded_rows() * padded_columns()) + tile_offset(m, k, padded_columns() / 4);
    uint8_t* const scale = static_cast<uint8_t*>(linear.data) + matrix * linear.strides[0] + m * linear.strides[1] + k * linear.strides[2];
    if (!to_tiles) {
      *scale = *tile;
    } else {
      *tile = m < linear.shape[1] && k < linear.shape[2] ? *scale : 0;
    }
  }
};

}  // namespace nvfp4cal::cuda
