// A search as its kernels see it, and how they read blocks. These functions run on the device, and on the host in tests.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/dtype.h"
#include "kernels/atomics.cuh"
#include "kernels/require_aligned.cuh"
#include "num/half.h"
#include "num/scale.h"

#if defined(__CUDACC__)
#define NVFP4CAL_HD_CALL __host__ __device__ __noinline__
#else
#define NVFP4CAL_HD_CALL
#endif

namespace nvfp4cal::cuda {

// Passed to kernels by value; all pointers are the device's.
struct SweepProblem {
  const void* x;  // [slices * blocks_per_slice, block]
  Dtype dtype;    // kF32, kBf16 or kF16
  int block;      // 16 or 32
  float normalization;
  const float* global_amax;  // [slices], finite and >= 0
  int64_t slices, blocks_per_slice;
  bool has_window;
  int window_lo, window_hi;
  const void* weights;  // NULL, or [weight_blocks, block]: block b has row b % weight_blocks
  Dtype weights_dtype;
  int64_t weight_blocks;
  uint8_t* codes;              // [slices * blocks_per_slice]
  uint64_t* first_bad;         // lowered to the least flat index in x that is not finite
  uint64_t* first_bad_weight;  // the same for weights that are not positive and finite
};

NVFP4CAL_HD inline float element_at(const void* x, Dtype dtype, int64_t i) {
  if (dtype == Dtype::kF32) return static_cast<const float*>(x)[i];
  const uint16_t h = static_cast<const uint16_t*>(x)[i];
  return dtype == Dtype::kBf16 ? num::bf16_to_f32(h) : num::f16_to_f32(h);
}

struct alignas(16) Quad {
  uint32_t word[4];
};

// 16 bytes that are read once.
NVFP4CAL_HD inline Quad load_quad(const Quad* at) {
  require_aligned<sizeof(Quad)>(at);
#if defined(__CUDA_ARCH__)
  const uint4 v = __ldcs(reinterpret_cast<const uint4*>(at));
  return {{v.x, v.y, v.z, v.w}};
#else
  return *at;
#endif
}

NVFP4CAL_HD inline bool is_aligned(const void* x) { return (reinterpret_cast<uintptr_t>(x) & 15) == 0; }

// The elements of a block as float32. x is aligned to its elements at least.
template <int kBlock>
NVFP4CAL_HD inline void load_block(const void* x, Dtype dtype, int64_t block, float* out) {
  if (!is_aligned(x)) {
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock; ++i) out[i] = element_at(x, dtype, block * kBlock + i);
    return;
  }
  if (dtype == Dtype::kF32) {
    const Quad* const from = static_cast<const Quad*>(x) + block * (kBlock / 4);
    NVFP4CAL_UNROLL
    for (int i = 0; i < kBlock / 4; ++i) {
      const Quad quad = load_quad(from + i);
      NVFP4CAL_UNROLL
      for (int k = 0; k < 4; ++k) out[4 * i + k] = num::from_bits(quad.word[k]);
    }
    return;
  }
  const Quad* const from = static_cast<const Quad*>(x) + block * (kBlock / 8);
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock / 8; ++i) {
    const Quad quad = load_quad(from + i);
    NVFP4CAL_UNROLL
    for (int k = 0; k < 4; ++k) {
      const uint16_t low = static_cast<uint16_t>(quad.word[k]), high = static_cast<uint16_t>(quad.word[k] >> 16);
      out[8 * i + 2 * k] = dtype == Dtype::kBf16 ? num::bf16_to_f32(low) : num::f16_to_f32(low);
      out[8 * i + 2 * k + 1] = dtype == Dtype::kBf16 ? num::bf16_to_f32(high) : num::f16_to_f32(high);
    }
  }
}

// Notes the first element of a block that is not finite; false if there is none.
NVFP4CAL_HD inline bool note_non_finite(const SweepProblem& p, int64_t block) {
  for (int i = 0; i < p.block; ++i) {
    const int64_t at = block * p.block + i;
    if (num::is_finite(element_at(p.x, p.dtype, at))) continue;
    keep_min(p.first_bad, static_cast<uint64_t>(at));
    return true;
  }
  return false;
}

// The weights of a block, times the power of two that brings the largest into [1, 2). A row is checked by the first block that has it.
template <int kBlock>
NVFP4CAL_HD inline void load_weights(const SweepProblem& p, int64_t block, float* w) {
  const int64_t row = block % p.weight_blocks;
  load_block<kBlock>(p.weights, p.weights_dtype, row, w);
  float largest = 0.0f;
  bool good = true;
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; ++i) {
    good = good && w[i] > 0.0f && num::is_finite(w[i]);
    largest = w[i] > largest ? w[i] : largest;
  }
  if (!good && block < p.weight_blocks) {
    for (int i = kBlock - 1; i >= 0; --i) {
      const float value = element_at(p.weights, p.weights_dtype, row * kBlock + i);
      if (!(value > 0.0f && num::is_finite(value))) keep_min(p.first_bad_weight, static_cast<uint64_t>(row * kBlock + i));
    }
  }
  const int exponent = largest > 0.0f ? -num::exponent_of(largest) : 0;
  const float factor = num::pow2(exponent < -126 ? -126 : exponent > 127 ? 127 : exponent);
  NVFP4CAL_UNROLL
  for (int i = 0; i < kBlock; ++i) w[i] *= factor;
}

}  // namespace nvfp4cal::cuda
