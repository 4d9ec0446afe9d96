// The CUDA module, found and loaded at first need, and memory and events on its devices, owned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/device_ops.h"
#include "core/error.h"
#include "core/parallel.h"

namespace nvfp4cal {

// The module's table: libnvfp4cal_cuda.so beside this library, else in the folder NVFP4CAL_CUDA_PATH. Throws kCudaUnavailable where there is none that
// finds a device, kBackendVersion where there is only one of another release. A module that works is kept until the process ends.
const DeviceOps& device_ops();
// How many devices it has, at least 1; throws likewise.
int32_t device_count();

// A stream of a device, and what runs there. Calls throw.
class Device {
 public:
  Device(const DeviceOps& ops, const DeviceQueue& queue) : ops_(&ops), queue_(queue) {}

  int32_t id() const { return queue_.device; }
  CUstream_st* stream() const { return queue_.stream; }
  // The same device's default stream.
  Device at_default_stream() const;

  template <class Args>
  void run(Status (*DeviceOps::*op)(const DeviceQueue&, const Args&, char*), const Args& args) const {
    if (!(ops_->*op)) fail(Status::kUnsupported, "the CUDA module has no kernel for this operation");
    checked([&](char* message) { return (ops_->*op)(queue_, args, message); });
  }
  const DeviceOps& ops() const { return *ops_; }

  void* allocate(int64_t bytes) const;
  void release(void* memory) const noexcept;
  void clear(void* memory, int value, int64_t bytes) const;
  void to_device(void* to, const void* from, int64_t bytes) const;
  void to_host(void* to, const void* from, int64_t bytes) const;  // waits
  void start_check(DeviceCheck* check) const;
  void record(void** event) const;
  void wait_event(void* event) const;
  void synchronize_event(void* event) const;
  void destroy_event(void* event) const noexcept;

 private:
  template <class Call>
  void checked(Call&& call) const {
    char message[kMessageSize] = "";
    const Status status = call(message);
    if (status != Status::kOk) throw Error(status, message);
  }

  const DeviceOps* ops_;
  DeviceQueue queue_;
};

// The queue of a tensor on a device. Throws kUnsupported for devices that are not CUDA's, kInvalidArgument for a number that there is not.
Device device_of(const TensorView& x, const char* name, const Execution& execution, CUstream_st* stream);

// Whether two views lie in the same memory: the host's, or that of one device.
inline bool same_place(const TensorView& a, const TensorView& b) {
  return a.on_device() == b.on_device() && (!a.on_device() || a.device_id == b.device_id);
}

// "in host memory" or "on CUDA device 0".
std::string place_text(const TensorView& x);

// Memory of a device, released in the order of its stream.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(const Device& device, int64_t count) : device_(device), count_(count) {
    if (count > 0) data_ = static_cast<T*>(device.allocate(count * static_cast<int64_t>(sizeof(T))));
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  DeviceArray(DeviceArray&& other) noexcept
      : device_(other.device_), count_(std::exchange(other.count_, 0)), data_(std::exchange(other.data_, nullptr)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(count_, other.count_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~DeviceArray() {
    if (data_) device_->release(data_);
  }

  T* data() const { return data_; }
  int64_t count() const { return count_; }
  void clear(int value = 0) const {
    if (data_) device_->clear(data_, value, count_ * static_cast<int64_t>(sizeof(T)));
  }
  void set(const T* from) const {
    if (data_) device_->to_device(data_, from, count_ * static_cast<int64_t>(sizeof(T)));
  }
  // Waits for the stream.
  std::vector<T> read() const {
    std::vector<T> values(static_cast<size_t>(count_));
    if (data_) device_->to_host(values.data(), data_, count_ * static_cast<int64_t>(sizeof(T)));
    return values;
  }
  // Memory that outlives the stream it came from is used and released on the default stream, after all work on it is done.
  void move_to(const Device& device) { device_ = device; }

 private:
  std::optional<Device> device_;
  int64_t count_ = 0;
  T* data_ = nullptr;
};

// A call's record of what the device found.
class DeviceChecker {
 public:
  explicit DeviceChecker(const Device& device) : memory_(device, 1) { device.start_check(memory_.data()); }
  DeviceCheck* get() const { return memory_.data(); }
  // Waits, and throws if the device found something; `name` is x's in messages.
  void wait(const char* name) const;

 private:
  DeviceArray<DeviceCheck> memory_;
};

// The exception for a fault; `name` is x's in messages.
Error error_of(const DeviceCheck& check, const char* name);

}  // namespace nvfp4cal
