// Launches the searches for block scales on a stream: no allocation, no synchronization, nothing read back. All pointers are the device's.
#pragma once

#include <cstdint>
#include <driver_types.h>

#include "core/dtype.h"

namespace nvfp4cal::cuda {

// What a search found wrong; the caller reads it after the stream. Codes are of no use unless both are kNoneBad.
struct SweepFindings {
  uint64_t first_bad;         // least flat index in x that is not finite
  uint64_t first_bad_weight;  // least flat index in weights that is not positive and finite
};
inline constexpr uint64_t kNoneBad = ~uint64_t{0};

struct SweepLaunch {
  const void* x;  // [slices * blocks_per_slice, block], contiguous
  Dtype dtype;    // kF32, kBf16 or kF16
  int block;      // 16 or 32
  float normalization;
  const float* global_amax;  // [slices], finite and >= 0; a slice whose amax is 0 gets the code of 1.0
  int64_t slices, blocks_per_slice;
  bool has_window;  // codes from n + window_lo to n + window_hi, n the "max" code
  int window_lo, window_hi;
  const void* weights;  // NULL, or [weight_blocks, block]: flat block b has row b % weight_blocks
  Dtype weights_dtype;  // kF32, kBf16 or kF16
  int64_t weight_blocks;
  uint8_t* codes;           // [slices * blocks_per_slice]
  SweepFindings* findings;  // written first, then lowered
};

// docs/numerics.md 3, the same codes as on the CPU. `definition` tries every candidate by the definition, without a filter in front: for tests
// and measurements. Returns the launch's error, cudaErrorInvalidValue for another dtype or block size.
cudaError_t launch_sweep(const SweepLaunch& launch, cudaStream_t stream, bool definition = false);

}  // namespace nvfp4cal::cuda
