// ADMM over blocks of one matrix: those whose scale still changes go through every pass together.
#include "cpu/block_search.h"
#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int kLanes = AdmmLanes::kCount;

void transpose(const double* a, int n, double* out) {
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) out[j * n + i] = a[i * n + j];
  }
}

class Admm {
 public:
  Admm(const Kernels& kernels, const num::BlockHessian& hessian, int n, int n_inner, const float* x, float* scales, float* quants)
      : kernels_(kernels), n_(n), x_(x), scales_(scales), quants_(quants) {
    const double* const matrices[] = {hessian.h, hessian.normalized, hessian.inverse};
    for (int k = 0; k < 3; ++k) transpose(matrices[k], n, transposed_[k]);
    lanes_.n = n;
    lanes_.n_inner = n_inner;
    lanes_.h = transposed_[0];
    lanes_.normalized = transposed_[1];
    lanes_.inverse = transposed_[2];
  }

  // Up to n_outer passes over all blocks whose scale is not 0.
  void run(int64_t blocks, int n_outer) {
    int which[kAdmmBlocks], count = 0;
    for (int b = 0; b < blocks; ++b) {
      if (scales_[b] != 0.0f) which[count++] = b;
    }
    for (int outer = 0; outer < n_outer; ++outer) {
      int left = 0;
      for (int g = 0; g < count; g += kLanes) {
        const int here = count - g < kLanes ? count - g : kLanes;
        pass(which + g, here);
        for (int b = 0; b < here; ++b) {
          float& scale = scales_[which[g + b]];
          const float next = num::block_hessian_detail::refit_scale(lanes_.x_h_z[b], lanes_.z_h_z[b], scale);
          if (next == scale) continue;  // another pass would repeat this one
          scale = next;
          if (next != 0.0f) which[left++] = which[g + b];
        }
      }
      count = left;
    }
  }

  // Puts back the start of blocks that did not become better.
  void keep_better(int64_t blocks, const float* starts) {
    for (int64_t first = 0; first < blocks; first += kLanes) {
      const int here = blocks - first < kLanes ? static_cast<int>(blocks - first) : kLanes;
      float levels[kLanes * kMaxBlock];
      kernels_.block_levels(x_ + first * n_, n_, here, starts + first, levels);
      errors(first, here, starts, levels);
      double before[kLanes];
      for (int b = 0; b < here; ++b) before[b] = lanes_.z_h_z[b];
      errors(first, here, scales_, quants_ + first * n_);
      for (int b = 0; b < here; ++b) {
        if (lanes_.z_h_z[b] < before[b]) continue;
        scales_[first + b] = starts[first + b];
        for (int i = 0; i < n_; ++i) quants_[(first + b) * n_ + i] = levels[b * n_ + i];
      }
    }
  }

 private:
  void pass(const int* which, int count) {
    for (int b = 0; b < kLanes; ++b) {
      const int block = which[b < count ? b : 0];  // lanes past the last do the first one's work
      lanes_.scale[b] = static_cast<double>(scales_[block]);
      for (int i = 0; i < n_; ++i) lanes_.x[i * kLanes + b] = static_cast<double>(x_[block * n_ + i]);
    }
    kernels_.admm_levels(lanes_);
    kernels_.admm_products(lanes_);
    for (int b = 0; b < count; ++b) {
      for (int i = 0; i < n_; ++i) quants_[which[b] * n_ + i] = static_cast<float>(lanes_.z[i * kLanes + b]);
    }
  }

  // z_h_z of what levels [count, n] of blocks first + b leave.
  void errors(int64_t first, int count, const float* scales, const float* levels) {
    for (int b = 0; b < kLanes; ++b) {
      for (int i = 0; i < n_; ++i) {
        const int64_t at = (first + b) * n_ + i;
        lanes_.z[i * kLanes + b] = b < count ? num::block_residual(x_[at], levels[b * n_ + i], scales[first + b]) : 0.0;
      }
    }
    kernels_.admm_products(lanes_);
  }

  const Kernels& kernels_;
  const int n_;
  const float* const x_;
  float *const scales_, *const quants_;
  AdmmLanes lanes_{};
  double transposed_[3][kMaxBlock * kMaxBlock];
};

}  // namespace

void admm(const Kernels& kernels, const BlockMatrix& matrix, int n, const num::AdmmSteps& steps, const float* x, int64_t blocks,
          float* scales, float* quants) {
  if (!kernels.admm_levels) {
    for (int64_t b = 0; b < blocks; ++b) scales[b] = admm(x + b * n, n, matrix.hessian, steps, quants + b * n);
    return;
  }
  float starts[kAdmmBlocks];
  if (steps.from_optimal) {
    kernels.hessian_scales(matrix, x, n, blocks, starts);
  } else {
    for (int64_t b = 0; b < blocks; ++b) starts[b] = num::naive_scale(x + b * n, n);
  }
  for (int64_t b = 0; b < blocks; ++b) scales[b] = starts[b];
  kernels.block_levels(x, n, blocks, scales, quants);
  Admm search(kernels, matrix.hessian, n, steps.n_inner, x, scales, quants);
  search.run(blocks, steps.n_outer);
  if (steps.from_optimal) search.keep_better(blocks, starts);
}

}  // namespace nvfp4cal::cpu
