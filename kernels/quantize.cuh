// Elements to nibbles and block scales, and back. docs/numerics.md 2 and 3; the arithmetic is num/scale.h's.
#pragma once

#include <math.h>

#include "core/device_ops.h"
#include "core/scale_tiles.h"
#include "kernels/check.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"
#include "num/e2m1.h"
#include "num/scale.h"

namespace nvfp4cal::cuda {

NVFP4CAL_HD inline void store_words(void* to, const Words& words) {
#if defined(__CUDA_ARCH__)
  *static_cast<uint4*>(to) = make_uint4(words.at[0], words.at[1], words.at[2], words.at[3]);
#else
  memcpy(to, &words, sizeof words);
#endif
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
    uint16_t halves[8];
    for (int i = 0; i < 8; ++i) halves[i] = out.dtype == Dtype::kBf16 ? num::f32_to_bf16(values[i]) : num::f32_to_f16(values[i]);
    uint16_t* const to = static_cast<uint16_t*>(out.data) + flat;
    Words words;
    for (int i = 0; i < 4; ++i) words.at[i] = halves[2 * i] | static_cast<uint32_t>(halves[2 * i + 1]) << 16;
    if (aligned) {
      store_words(to, words);
    } else {
      for (int i = 0; i < 8; ++i) to[i] = halves[i];
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

// The code of a block from its largest magnitude. A G below 2^-126 or so is multiplied up with it, as on the CPU: the quotient has a float32 value. Where all
// is far from float32's ends, powers of two change no bit of it: `scale`, s2, serves.
NVFP4CAL_HD inline uint8_t max_code_of(float largest, float global_amax, float scale, float normalization) {
  if (global_amax > 0x1p-100f && global_amax < 0x1p100f) return num::max_code(largest, scale);
  const int exponent = num::normalizing_exponent(global_amax);  // -127 .. 149
  const int first = exponent > 126 ? 126 : exponent < -126 ? -126 : exponent;
  const float a = num::pow2(first), b = num::pow2(exponent - first);
  return num::max_code(largest * a * b, num::global_scale(global_amax * a * b, normalization));
}

// What elements of a block are divided by. Where the reciprocal is a normal number, quotients are products with it, off by less than 3 units in the last
// place of the rounded quotient.
struct Divisor {
  float step, reciprocal;
  bool has_reciprocal;

  NVFP4CAL_HD explicit Divisor(float by) : step(by), reciprocal(1.0f / by), has_reciprocal(by > 0x1p-120f && by < 0x1p120f) {}
};

// The code of a quotient that is not 0, with x's sign: num::e2m1_code in fewer operations. A level times 2^-126 has its code as bits, .5 being subnormal.
NVFP4CAL_HD inline uint32_t code_of_quotient(float magnitude, float x) {
  const float level = num::e2m1_round_no_nan(magnitude);
#if defined(__CUDA_ARCH__)
  const uint32_t code = num::bits_of(level * 0x1p-126f) >> 22;
#else
  const uint32_t code = num::e2m1_code_of_level(level);
#endif
  return code | (num::bits_of(x) >> 28 & 8u);
}

// Within 4 units in the last place of a number of 2 bits, as all boundaries between levels are (three bits with the leading one): there the true quotient
// may have another code. So is zero.
NVFP4CAL_HD inline bool is_near_boundary(float quotient) { return ((num::bits_of(quotient) + 4) & 0x1FFFFFu) <= 8; }

// The codes of x / step of 8 elements, the first in the lowest nibble.
NVFP4CAL_HD inline uint32_t nibbles_of_8(const float* x, const Divisor& by) {
  uint32_t nibbles = 0;
  bool doubtful = !by.has_reciprocal;
  NVFP4CAL_UNROLL
  for (int i = 0; i < 8; ++i) {
    const float quotient = fabsf(x[i]) * by.reciprocal;
    doubtful = doubtful || is_near_boundary(quotient);
    nibbles |= code_of_quotient(quotient, x[i]) << (4 * i);
  }
  if (!doubtful) return nibbles;
  nibbles = 0;
  NVFP4CAL_UNROLL
  for (int i = 0; i < 8; ++i) nibbles |= static_cast<uint32_t>(num::e2m1_code(x[i] / by.step)) << (4 * i);
  return nibbles;
}

// A thread takes one block.
template <class Reader, int kBlock>
struct Quantize {
  static constexpr int kThreads = 256;
  Reader x;
  int64_t blocks, slices, blocks_per_slice;
  float normalization;
  const float *amax, *scale, *block_amax;
  const uint8_t* codes;
  uint8_t *packed, *scales;
  Output decoded;  // data NULL: none
  const DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t b = index.block * kThreads + index.thread;
    if (b >= blocks || !is_clean(*check)) return;
    float values[kBlock];
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; i += 8) x.read(b * kBlock + i, values + i);
    const int64_t slice = slices == 1 ? 0 : b / blocks_per_slice;
    const uint8_t code = code_of(b, slice, values);
    if (scales) scales[b] = code;
    const float step = num::stored_scale(num::e4m3_magnitude(code), scale[slice]);
    const Divisor by(step);
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; i += 8) write(b * kBlock + i, values + i, by);
  }

 private:
  NVFP4CAL_HD uint8_t code_of(int64_t b, int64_t slice, const float* values) const {
    const float global_amax = amax[slice];
    if (global_amax == 0.0f) return num::kE4m3One;
    if (codes) return codes[b];
    if (block_amax) return num::code_of_amax(block_amax[b], global_amax, normalization);
    float largest = 0.0f;
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; ++i) largest = fmaxf(largest, fabsf(values[i]));
    return max_code_of(largest, global_amax, scale[slice], normalization);
  }
  NVFP4CAL_HD void write(int64_t flat, const float* values, const Divisor& by) const {
    const uint32_t nibbles = nibbles_of_8(values, by);
    if (packed) *reinterpret_cast<uint32_t*>(packed + flat / 2) = nibbles;
    if (!decoded.view.data) return;
    float levels[8];
    NVFP4CAL_UNROLL
    for (int i = 0; i < 8; ++i) levels[i] = num::e2m1_value(nibbles >> (4 * i) & 15) * by.step;
    decoded.store(flat, levels);
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
    if (is_packed_aligned) return *reinterpret_cast<const uint64_t*>(static_cast<const uint8_t*>(packed.data) + byte);
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
