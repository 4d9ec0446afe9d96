// The reference of the Hessian's kernels: plain loops.
#include "cpu/kernels.h"
#include "cpu/load.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int kGroup = 16;

void widen(Span x, int64_t groups, double* out, int64_t stride) {
  for (int64_t g = 0; g < groups; ++g) {
    for (int i = 0; i < kGroup; ++i) out[g * stride + i] = static_cast<double>(load_element(x, g * kGroup + i));
  }
}

void outer_product(const double* a, const double* b, int64_t rows, double* c, int64_t stride) {
  double sums[kGroup][kGroup] = {};
  for (int64_t row = 0; row < rows; ++row, a += kGroup, b += kGroup) {
    for (int i = 0; i < kGroup; ++i) {
      for (int j = 0; j < kGroup; ++j) sums[i][j] += a[i] * b[j];
    }
  }
  for (int i = 0; i < kGroup; ++i) {
    for (int j = 0; j < kGroup; ++j) c[i * stride + j] += sums[i][j];
  }
}

}  // namespace

void fill_scalar_hessian_kernels(Kernels& kernels) {
  kernels.widen = widen;
  kernels.outer_product = outer_product;
}

}  // namespace nvfp4cal::cpu
