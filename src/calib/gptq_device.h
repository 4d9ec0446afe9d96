// GPTQ on a device: prepared Hessians there, and the steps of a call.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/device.h"
#include "core/ops.h"

namespace nvfp4cal::calib {

class GptqSteps;

// Copies of a handle's prepared Hessians on the device of the last call there. Calls wait for their work, also those that fail, so nothing uses them in
// between.
class GptqDeviceHessians {
 public:
  // Makes the copies, on the device's default stream, where they are not there yet.
  void prepare(const Device& device, const std::vector<std::unique_ptr<GptqHessian>>& hessians);
  void drop() noexcept;

  const GptqParts* at(int64_t index) const { return table_.data() + index; }
  int64_t padded() const { return padded_; }
  int64_t most_groups() const { return most_groups_; }

 private:
  struct Copy {
    DeviceArray<int32_t> places;
    DeviceArray<float> values;
    DeviceArray<GptqGroupParts> groups;
  };
  static GptqParts copied(const Device& device, const GptqHessian& hessian, Copy& copy);

  std::optional<Device> device_;  // at its default stream
  int64_t padded_ = 0, most_groups_ = 0;
  std::vector<Copy> copies_;
  DeviceArray<GptqParts> table_;
};

// The steps of a call on weights on a device; both must outlive them.
std::unique_ptr<GptqSteps> gptq_steps_on_device(const Device& device, const std::vector<std::unique_ptr<GptqHessian>>& hessians,
                                                const GptqDeviceHessians& copies, GptqEffort effort);

}  // namespace nvfp4cal::calib
