// The operations of observers on device tensors. All of them wait.
#pragma once

#include <vector>

#include "core/device.h"

namespace nvfp4cal::calib {

// As the CPU's group_range; args.x lies on the device, the rest in host memory.
void group_range_on_device(const Device& device, const GroupRangeArgs& args);

// A search of several calls: ranges and the best steps so far stay on the device.
class DeviceGroupSearch {
 public:
  // Takes over args.min, max, layout and best, which lie in host memory.
  DeviceGroupSearch(const Device& device, const GroupSearchArgs& args);
  // The steps of args; sets args.improved.
  void run(const GroupSearchArgs& args) const;
  void read(std::vector<GroupBest>& best) const;

 private:
  Device device_;
  int64_t groups_;
  DeviceArray<int64_t> columns_;
  DeviceArray<float> min_, max_;
  DeviceArray<GroupBest> best_;
  DeviceArray<double> sums_;
  DeviceArray<uint32_t> improved_;
};

}  // namespace nvfp4cal::calib
