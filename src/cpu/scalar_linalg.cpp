// The reference of the products: plain loops.
#include <algorithm>
#include <cmath>

#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

namespace {

template <class T>
void multiply(const Product<T>& p) {
  for (int64_t k0 = 0; k0 < p.depth; k0 += kDepth) {
    const int64_t end = std::min(k0 + kDepth, p.depth);
    for (int64_t i = 0; i < p.rows; ++i) {
      T sums[kTile] = {};
      for (int64_t k = k0; k < end; ++k) {
        for (int64_t j = 0; j < kTile; ++j) sums[j] = std::fma(p.a[k * p.a_stride + i], p.b[k * p.b_stride + j], sums[j]);
      }
      T* const c = p.c + i * p.c_stride;
      for (int64_t j = 0; j < kTile; ++j) c[j] = p.subtract ? c[j] - sums[j] : c[j] + sums[j];
    }
  }
}

}  // namespace

void fill_scalar_linalg_kernels(Kernels& kernels) {
  kernels.multiply_f32 = multiply<float>;
  kernels.multiply_f64 = multiply<double>;
}

}  // namespace nvfp4cal::cpu
