#include "core/backends.h"

namespace nvfp4cal {

const Ops& ops_for(const TensorView& x) {
  if (x.on_device()) fail(Status::kCudaUnavailable, "a tensor lies on device type %d: this build computes on the CPU only", x.device_type);
  return cpu_ops();
}

}  // namespace nvfp4cal
