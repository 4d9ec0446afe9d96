// The right module on a machine without a driver.
#include <cstdio>

#include "core/device_ops.h"

using namespace nvfp4cal;

namespace {

Status no_devices(int32_t* out, char* message) {
  *out = 0;
  std::snprintf(message, kMessageSize, "no CUDA device: no driver (as a test)");
  return Status::kCudaUnavailable;
}

}  // namespace

extern "C" const DeviceOps* nvfp4cal_device_ops(void) {
  static const DeviceOps table = [] {
    DeviceOps ops{};
    ops.struct_size = sizeof ops;
    ops.abi = kDeviceOpsAbi;
    ops.device_count = no_devices;
    return ops;
  }();
  return &table;
}
