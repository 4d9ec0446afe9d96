// The CUDA module, found and loaded at first need, and memory and events on its devices, owned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/device_ops.h"
#include "core/device_options.h"
#include "core/error.h"
#include "core/parallel.h"

namespace nvfp4cal {

// The module's table: libnvfp4cal_cuda.so beside this library, else in the folder NVFP4CAL_CUDA_PATH. Throws kCudaUnavailable where there is none that
// finds a device, kBackendVersion where there is only one of another release. A module that works is kept until the process ends.
const DeviceOps& device_ops();
// How many devices it has, at least 1; throws likewise.
int32_t device_count();

// What kernels read at a time, and so what memory is aligned to.
inline constexpr uintptr_t kDeviceAlignment = 16;

// A stream of a device, and what runs there. Calls throw.
class Device {
 public:
  Device(const DeviceOps& ops, const DeviceQueue& queue, const DeviceOptions& options) : ops_(&ops), queue_(queue), options_(options) {}

  int32_t id() const { return queue_.device; }
  CUstream_st* stream() const { return queue_.stream; }
  // The same device's default stream.
  Device at_default_stream() const;
  // Whether what is enqueued becomes part of a CUDA graph instead of being done.
  bool is_capturing() const;
  // Throws kUnsupported if it does; `what` cannot.
  void refuse_capture(const char* what) const;
  // Where one-call functions keep their failures instead of waiting for them, or NULL.
  DeviceStatus* status() const { return static_cast<DeviceStatus*>(options_.status.data); }

  template <class Args>
  void run(Status (*DeviceOps::*op)(const DeviceQueue&, const Args&, char*), const Args& args) const {
    if (!(ops_->*op)) fail(Status::kUnsupported, "the CUDA module has no kernel for this operation");
    checked([&](char* message) { return (ops_->*op)(queue_, args, message); });
  }
  const DeviceOps& ops() const { return *ops_; }

  // The caller's allocator's, where there is one, else the module's. Aligned to kDeviceAlignment.
  void* allocate(int64_t bytes) const;
  void release(void* memory, int64_t bytes) const noexcept;
  void clear(void* memory, int value, int64_t bytes) const;
  // A few words travel as arguments of kernels; more of them throw where a graph is captured.
  void to_device(void* to, const void* from, int64_t bytes) const;
  void to_host(void* to, const void* from, int64_t bytes) const;  // waits
  void start_check(DeviceCheck* check) const;
  void synchronize() const;
  void record(void** event) const;
  void wait_event(void* event) const;
  void synchronize_event(void* event) const;
  void destroy_event(void* event) const noexcept;

 private:
  void* allocate_from_caller(int64_t bytes) const;
  template <class Call>
  void checked(Call&& call) const {
    char message[kMessageSize] = "";
    const Status status = call(message);
    if (status != Status::kOk) throw Error(status, message);
  }

  const DeviceOps* ops_;
  DeviceQueue queue_;
  DeviceOptions options_;
};

// The queue of a tensor on a device. Throws kUnsupported for devices that are not CUDA's, kInvalidArgument for a number that there is not.
Device device_of(const TensorView& x, const char* name, const Execution& execution, CUstream_st* stream);

// The same for a one-call function. Throws where it could neither wait for what the device finds nor keep it: on a stream that is being captured,
// without a status on that device.
Device one_call_device(const TensorView& x, const char* name, const Execution& execution, CUstream_st* stream);

// Whether two views lie in the same memory: the host's, or that of one device.
inline bool same_place(const TensorView& a, const TensorView& b) {
  return a.on_device() == b.on_device() && (!a.on_device() || a.device_id == b.device_id);
}

// "in host memory" or "on CUDA device 0".
std::string place_text(const TensorView& x);

// Memory of a device, taken and released in the order of one stream.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(const Device& device, int64_t count) : device_(device), count_(count) {
    if (count > 0) data_ = static_cast<T*>(device.allocate(bytes()));
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
    if (data_) device_->release(data_, bytes());
  }

  T* data() const { return data_; }
  int64_t count() const { return count_; }
  void clear(int value = 0) const {
    if (data_) device_->clear(data_, value, bytes());
  }
  void set(const T* from) const {
    if (data_) device_->to_device(data_, from, bytes());
  }
  // Waits for the stream.
  std::vector<T> read() const {
    std::vector<T> values(static_cast<size_t>(count_));
    if (data_) device_->to_host(values.data(), data_, bytes());
    return values;
  }

 private:
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(T)); }

  std::optional<Device> device_;
  int64_t count_ = 0;
  T* data_ = nullptr;
};

// A call's record of what the device found.
class DeviceChecker {
 public:
  explicit DeviceChecker(const Device& device) : device_(device), memory_(device, 1) { device.start_check(memory_.data()); }
  DeviceCheck* get() const { return memory_.data(); }
  // Waits, and throws if the device found something; `name` is x's in messages.
  void wait(const char* name) const;
  // The end of a one-call function: waits likewise, or keeps what was found in the caller's status.
  void finish(const char* name) const;

 private:
  Device device_;
  DeviceArray<DeviceCheck> memory_;
};

// The exception for a fault; `name` is x's in messages.
Error error_of(const DeviceCheck& check, const char* name);

// Waits for the stream, and throws what the status of the execution's options holds, which is then empty.
void check_device_status(const Execution& execution, CUstream_st* stream);

}  // namespace nvfp4cal
