// Launches the searches weighted by Hessians on a stream: no allocation, no synchronization, nothing read back. All pointers are the device's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/device_ops.h"
#include "sweep.h"

namespace nvfp4cal::cuda {

struct HessianSweepLaunch {
  SweepLaunch sweep;     // weights is NULL; blocks_per_slice is a multiple of columns
  const float* hessian;  // [columns, block, block], finite: block b of a slice has number b % columns
  int64_t columns;
  const DeviceCheck* check;  // closed: where it has a fault the Hessians are not read
};

// Bytes of workspace, aligned to 16, that a launch needs until its work on the stream is done.
size_t hessian_sweep_workspace(int64_t columns);

// docs/numerics.md 4, the same codes as on the CPU. `definition` tries every code by the definition: for tests and measurements. Returns the launch's
// error, cudaErrorInvalidValue for another dtype or block size, weights or a wrong number of columns.
cudaError_t launch_hessian_sweep(const HessianSweepLaunch& launch, void* workspace, cudaStream_t stream, bool definition = false);

}  // namespace nvfp4cal::cuda
