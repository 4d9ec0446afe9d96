// What surrounds the exact search.
#pragma once

#include "kernels/check.cuh"
#include "kernels/launch.cuh"
#include "num/scale.h"

namespace nvfp4cal::cuda {

// The fault of the first weight that is not positive and finite.
struct CloseWeights {
  static constexpr int kThreads = 1;
  TensorView weights;
  const uint64_t* first_bad;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index&) const {
    if (*first_bad == kNoIndex) return;
    const int64_t i = static_cast<int64_t>(*first_bad);
    set_fault(*check, DeviceFault::kWeight, i, stored_at(weights, i));
  }
};

struct CodeAmax {
  static constexpr int kThreads = 256;
  const uint8_t* codes;
  int64_t blocks, blocks_per_slice;
  float normalization;
  const float* amax;
  float* out;
  const DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t b = index.block * kThreads + index.thread;
    if (b < blocks && is_clean(*check)) out[b] = num::block_amax(codes[b] & 127, amax[b / blocks_per_slice], normalization);
  }
};

}  // namespace nvfp4cal::cuda
