// Products of tiles with their sums in registers: 8 rows (4 where there are 16 registers) and two vectors of columns at a time.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/linalg_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "cpu/simd-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

constexpr int kRowsInRegisters = HWY_MAX_BYTES == 64 ? 8 : 4;

// kRowsInRegisters x two vectors of c.
template <class T>
HWY_INLINE void multiply_part(const Product<T>& p, int64_t k0, int64_t depth, int64_t i0, int64_t j0) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<hn::ScalableTag<T>>;
  constexpr int64_t kLane = HWY_MAX_BYTES / static_cast<int64_t>(sizeof(T));
  V left[kRowsInRegisters], right[kRowsInRegisters];
  for (int i = 0; i < kRowsInRegisters; ++i) left[i] = right[i] = hn::Zero(d);
  const T* HWY_RESTRICT a = p.a + k0 * p.a_stride + i0;
  const T* HWY_RESTRICT b = p.b + k0 * p.b_stride + j0;
  for (int64_t k = 0; k < depth; ++k, a += p.a_stride, b += p.b_stride) {
    const V b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + kLane);
    for (int i = 0; i < kRowsInRegisters; ++i) {
      const V ai = hn::Set(d, a[i]);
      left[i] = hn::MulAdd(ai, b0, left[i]);
      right[i] = hn::MulAdd(ai, b1, right[i]);
    }
  }
  for (int i = 0; i < kRowsInRegisters; ++i) {
    T* const c = p.c + (i0 + i) * p.c_stride + j0;
    const V c0 = hn::LoadU(d, c), c1 = hn::LoadU(d, c + kLane);
    hn::StoreU(p.subtract ? hn::Sub(c0, left[i]) : hn::Add(c0, left[i]), d, c);
    hn::StoreU(p.subtract ? hn::Sub(c1, right[i]) : hn::Add(c1, right[i]), d, c + kLane);
  }
}

// b's part of kDepth rows and two vectors stays in the first-level cache while all rows of a pass by.
template <class T>
void multiply(const Product<T>& p) {
  constexpr int64_t kColumns = 2 * HWY_MAX_BYTES / static_cast<int64_t>(sizeof(T));
  for (int64_t k = 0; k < p.depth; k += kDepth) {
    const int64_t depth = std::min(kDepth, p.depth - k);
    for (int64_t j = 0; j < kTile; j += kColumns) {
      for (int64_t i = 0; i < p.rows; i += kRowsInRegisters) multiply_part(p, k, depth, i, j);
    }
  }
}

void fill_linalg_kernels(Kernels& kernels) {
  kernels.multiply_f32 = multiply<float>;
  kernels.multiply_f64 = multiply<double>;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
