#include "core/backends.h"

namespace nvfp4cal {

const Ops& ops_for(const TensorView& x) {
  if (x.on_device()) fail(Status::kUnsupported, "a tensor lies on device type %d: this operation computes on host tensors", x.device_type);
  return cpu_ops();
}

}  // namespace nvfp4cal
