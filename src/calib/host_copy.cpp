#include "calib/host_copy.h"

#include "core/device.h"

namespace nvfp4cal::calib {

HostCopy::HostCopy(const TensorView& tensor, const char* name, const char* what, const Execution& execution, CUstream_st* stream)
    : view_(tensor) {
  if (!tensor.on_device()) return;
  if (!tensor.contiguous) fail(Status::kUnsupported, "%s has strides: on a device it is contiguous", name);
  const Device device = device_of(tensor, name, execution, stream);
  device.refuse_capture(what);
  bytes_.resize(static_cast<size_t>(tensor.elements()) * dtype_size(tensor.dtype));
  if (!bytes_.empty()) device.to_host(bytes_.data(), tensor.data, static_cast<int64_t>(bytes_.size()));
  view_.data = bytes_.data();
  view_.device_type = 0;
  view_.device_id = 0;
}

}  // namespace nvfp4cal::calib
