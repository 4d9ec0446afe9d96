// A module of another release: a table that is longer, with another number.
#include "core/device_ops.h"

namespace {

struct LaterOps {
  nvfp4cal::DeviceOps ops{};
  void* later[4] = {};
};

}  // namespace

extern "C" const nvfp4cal::DeviceOps* nvfp4cal_device_ops(void) {
  static const LaterOps table = [] {
    LaterOps made;
    made.ops.struct_size = sizeof made;
    made.ops.abi = nvfp4cal::kDeviceOpsAbi + 1;
    return made;
  }();
  return &table.ops;
}
