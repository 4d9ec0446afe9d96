#include "calib/device_state.h"

#include <utility>

namespace nvfp4cal::calib {

DeviceState& DeviceState::operator=(DeviceState&& other) noexcept {
  if (this == &other) return *this;
  drop();
  device_ = std::exchange(other.device_, std::nullopt);
  state_ = std::move(other.state_);
  sticky_ = std::move(other.sticky_);
  event_ = std::exchange(other.event_, nullptr);
  calls_ = std::exchange(other.calls_, 0);
  fault_ = std::exchange(other.fault_, std::nullopt);
  return *this;
}

void DeviceState::begin(const Device& device, int64_t bytes) {
  if (active()) return device.wait_event(event_);
  drop();
  device_ = device.at_default_stream();
  device_->is_capturing();  // throws while another stream is captured, which work on the default stream would spoil
  state_ = DeviceArray<uint8_t>(*device_, bytes);
  sticky_ = DeviceArray<DeviceCheck>(*device_, 1);
  state_.clear();
  device_->start_check(sticky_.data());
  device_->record(&event_);
  device.wait_event(event_);
}

void DeviceState::close(const Device& device, const TensorView& x, const DeviceChecker& check) {
  device.run(&DeviceOps::close_check, DeviceCloseArgs{&x, check.get(), sticky_.data(), calls_ + 1});
}

void DeviceState::end(const Device& device) {
  device.record(&event_);
  ++calls_;
}

void DeviceState::add(const Device& device, const TensorView& x, DeviceMerge kind, const void* mine, int64_t count,
                      const DeviceChecker& check) {
  const bool by_eight = kind != DeviceMerge::kMaxBits;
  begin(device, count * (by_eight ? 8 : 4));
  close(device, x, check);
  device.run(&DeviceOps::merge, DeviceMergeArgs{kind, state_.data(), mine, count, check.get()});
  end(device);
}

void DeviceState::take(void* to, int64_t bytes) {
  require_clean();
  device_->is_capturing();
  device_->synchronize_event(event_);
  const DeviceCheck sticky = sticky_.read()[0];
  if (sticky.fault != static_cast<int32_t>(DeviceFault::kNone)) fault_ = error_of(sticky, "x");
  require_clean();
  device_->to_host(to, state_.data(), bytes);
  drop();
}

void DeviceState::require_clean() const {
  if (fault_) throw *fault_;
}

void DeviceState::drop() noexcept {
  if (device_) {
    try {
      if (event_) device_->synchronize_event(event_);
    } catch (const Error&) {  // a device that failed has nothing left to wait for
    }
    state_ = {};
    sticky_ = {};
    if (event_) device_->destroy_event(event_);
  }
  device_.reset();
  event_ = nullptr;
  calls_ = 0;
  fault_.reset();
}

}  // namespace nvfp4cal::calib
