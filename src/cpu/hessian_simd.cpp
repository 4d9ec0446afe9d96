// X^T X in float64 on SIMD lanes: 16 columns against 16, sums in registers. One lane holds one sum, so the width of a vector changes no bit.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/hessian_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/simd-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

using DD = hn::ScalableTag<double>;
using VD = hn::Vec<DD>;

constexpr int kGroup = 16;
constexpr int kDoubles = HWY_MAX_BYTES / 8;
// Sums in registers: kRowsOfC x 2 vectors, with room for two of b and one of a.
constexpr int kRowsOfC = HWY_MAX_BYTES == 64 ? 8 : 4;
constexpr int kColsOfC = 2 * kDoubles;

template <class Loader>
void widen_loaded(const char* data, int64_t groups, double* HWY_RESTRICT out, int64_t stride) {
  const DD dd;
  const hn::Half<DF> half;
  for (int64_t g = 0; g < groups; ++g) {
    for (int i = 0; i < kGroup; i += kLanes) {
      const VF x = Loader::load(data + (g * kGroup + i) * Loader::kBytes);
      hn::StoreU(hn::PromoteTo(dd, hn::LowerHalf(half, x)), dd, out + g * stride + i);
      hn::StoreU(hn::PromoteTo(dd, hn::UpperHalf(half, x)), dd, out + g * stride + i + kDoubles);
    }
  }
}

void widen(Span x, int64_t groups, double* out, int64_t stride) {
  with_loader(x.dtype, [&](auto loader) {
    widen_loaded<decltype(loader)>(static_cast<const char*>(x.data), groups, out, stride);
    return true;
  });
}

void outer_product(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b, int64_t rows, double* HWY_RESTRICT c, int64_t stride) {
  const DD dd;
  for (int i0 = 0; i0 < kGroup; i0 += kRowsOfC) {
    for (int j0 = 0; j0 < kGroup; j0 += kColsOfC) {
      VD left[kRowsOfC], right[kRowsOfC];
      for (int i = 0; i < kRowsOfC; ++i) left[i] = right[i] = hn::Zero(dd);
      for (int64_t row = 0; row < rows; ++row) {
        const VD b0 = hn::LoadU(dd, b + row * kGroup + j0), b1 = hn::LoadU(dd, b + row * kGroup + j0 + kDoubles);
        for (int i = 0; i < kRowsOfC; ++i) {
          const VD ai = hn::Set(dd, a[row * kGroup + i0 + i]);
          left[i] = hn::MulAdd(ai, b0, left[i]);
          right[i] = hn::MulAdd(ai, b1, right[i]);
        }
      }
      for (int i = 0; i < kRowsOfC; ++i) {
        double* const to = c + (i0 + i) * stride + j0;
        hn::StoreU(hn::Add(hn::LoadU(dd, to), left[i]), dd, to);
        hn::StoreU(hn::Add(hn::LoadU(dd, to + kDoubles), right[i]), dd, to + kDoubles);
      }
    }
  }
}

void fill_hessian_kernels(Kernels& kernels) {
  kernels.widen = widen;
  kernels.outer_product = outer_product;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
