// Launches the searches of single-level blocks with Hessians.
#pragma once

#include <cuda_runtime.h>

#include "core/device_ops.h"

namespace nvfp4cal::cuda {

// The methods of wanted.search that have Hessians.
cudaError_t launch_block_hessians(const DeviceBlockSearchArgs& wanted, cudaStream_t stream);

}  // namespace nvfp4cal::cuda
