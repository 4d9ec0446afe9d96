// What a calibrator has collected from tensors on a device and not taken over yet: one array there, and the first thing that was wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/device.h"

namespace nvfp4cal::calib {

class DeviceState {
 public:
  DeviceState() = default;
  DeviceState(DeviceState&& other) noexcept { *this = std::move(other); }
  DeviceState& operator=(DeviceState&& other) noexcept;
  ~DeviceState() { drop(); }

  // Whether there is something to take over.
  bool active() const { return calls_ > 0; }
  // Whether a collect on this device can go on here; else what there is has to be taken over first. Throws on a stream that is being captured.
  bool takes(const Device& device) const {
    device.refuse_capture("collect");
    return !active() || device_->id() == device.id();
  }

  // Before the state is used by a collect on the device's stream: it follows the earlier ones. The first one makes `bytes` bytes of zeros. A first
  // collect that does not come to its end leaves nothing.
  void begin(const Device& device, int64_t bytes);
  void* data() const { return state_.data(); }
  // begin to end: mine[0 .. count) is combined with the state if the check is clean.
  void add(const Device& device, const TensorView& x, DeviceMerge kind, const void* mine, int64_t count, const DeviceChecker& check);
  // For more than one array: begin, close, merge each, end.
  void close(const Device& device, const TensorView& x, const DeviceChecker& check);
  void end(const Device& device);

  // Waits for all collects, copies the state to `to` and lets the device's memory go. Throws the first fault, now and until drop.
  void take(void* to, int64_t bytes);
  // Throws the fault that an earlier take has found.
  void require_clean() const;
  // Waits, and forgets everything.
  void drop() noexcept;

 private:
  std::optional<Device> device_;  // at its default stream: the streams of the collects may be gone by then
  DeviceArray<uint8_t> state_;
  DeviceArray<DeviceCheck> sticky_;
  void* event_ = nullptr;
  int32_t calls_ = 0;
  std::optional<Error> fault_;
};

}  // namespace nvfp4cal::calib
