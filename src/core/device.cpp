#include "core/device.h"

#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "core/hessian_text.h"
#include "core/non_finite.h"

namespace nvfp4cal {

namespace {

constexpr int32_t kDlpackCuda = 2, kDlpackCudaManaged = 13;
constexpr char kModuleName[] = "libnvfp4cal_cuda.so";

struct Module {
  const DeviceOps* ops = nullptr;
  int32_t devices = 0;
};

// What was wrong with the modules that were found: the most telling one is reported.
struct Refusal {
  Status status = Status::kCudaUnavailable;
  std::string text = "no CUDA module (libnvfp4cal_cuda.so) beside the library or in NVFP4CAL_CUDA_PATH";

  void add(Status why, const std::string& what) {
    if (status == Status::kBackendVersion) return;
    status = why;
    text = what;
  }
};

// The folder of this library, "" where the loader knows it by a relative name only: that would be a name in the working directory.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&device_count), &info) == 0 || !info.dli_fname || info.dli_fname[0] != '/') return "";
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/'));
}

bool exists(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  if (file) std::fclose(file);
  return file != nullptr;
}

Module try_module(const std::string& path, Refusal& refusal) {
  if (!exists(path)) return {};
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* const why = dlerror();
    refusal.add(Status::kCudaUnavailable, why ? why : path + " cannot be loaded");
    return {};
  }
  using Get = const DeviceOps* (*)();
  const Get get = reinterpret_cast<Get>(dlsym(library, kDeviceOpsSymbol));
  const DeviceOps* const ops = get ? get() : nullptr;
  if (!ops || ops->struct_size < sizeof(uint32_t) + sizeof(int32_t) || ops->abi != kDeviceOpsAbi || ops->struct_size < sizeof(DeviceOps)) {
    const int32_t abi = ops ? ops->abi : -1;
    refusal.add(Status::kBackendVersion, path + " is of another release: its interface has number " + std::to_string(abi) + ", expected " +
                                             std::to_string(kDeviceOpsAbi));
    return {};
  }
  Module module{ops, 0};
  char message[kMessageSize] = "";
  const Status status = ops->device_count(&module.devices, message);
  if (status == Status::kOk && module.devices > 0) return module;
  refusal.add(Status::kCudaUnavailable, *message ? message : "no CUDA device");
  return {};
}

// A failure is not kept: a driver or module may come later, and who gets one has no time to lose.
const Module& loaded_module() {
  static std::mutex mutex;
  static Module module;
  const std::lock_guard<std::mutex> lock(mutex);
  if (module.ops) return module;
  Refusal refusal;
  const std::string beside = own_folder();
  if (!beside.empty()) module = try_module(beside + "/" + kModuleName, refusal);
  const char* const folder = std::getenv("NVFP4CAL_CUDA_PATH");
  if (!module.ops && folder && folder[0] == '/') module = try_module(std::string(folder) + "/" + kModuleName, refusal);
  if (!module.ops) throw Error(refusal.status, refusal.text);
  return module;
}

}  // namespace

const DeviceOps& device_ops() { return *loaded_module().ops; }

int32_t device_count() { return loaded_module().devices; }

std::string place_text(const TensorView& x) {
  return x.on_device() ? "on CUDA device " + std::to_string(x.device_id) : std::string("in host memory");
}

Device device_of(const TensorView& x, const char* name, const Execution& execution, CUstream_st* stream) {
  if (x.device_type != kDlpackCuda && x.device_type != kDlpackCudaManaged)
    fail(Status::kCudaUnavailable, "%s lies on device type %d, which is neither the host nor CUDA", name, x.device_type);
  int32_t devices = 0;
  try {
    devices = device_count();
  } catch (const Error& error) {
    throw Error(error.status(), std::string(name) + " lies on device type " + std::to_string(x.device_type) + ": " + error.message());
  }
  if (x.device_id < 0 || x.device_id >= devices)
    fail(Status::kInvalidArgument, "%s lies on CUDA device %d, there are %d", name, x.device_id, devices);
  return Device(device_ops(), {x.device_id, stream}, execution.device_options());
}

Device Device::at_default_stream() const { return Device(*ops_, {queue_.device, nullptr}, options_); }

bool Device::is_capturing() const {
  bool capturing = false;
  checked([&](char* message) { return ops_->is_capturing(queue_, &capturing, message); });
  return capturing;
}

void Device::refuse_capture(const char* what) const {
  if (is_capturing()) fail(Status::kUnsupported, "%s cannot be captured in a CUDA graph", what);
}

Device one_call_device(const TensorView& x, const char* name, const Execution& execution, CUstream_st* stream) {
  const Device device = device_of(x, name, execution, stream);
  if (!device.status()) {
    if (device.is_capturing())
      fail(Status::kWrongState, "the stream is being captured in a CUDA graph: that needs a context with a device status");
  } else if (execution.device_options().status.device != device.id()) {
    fail(Status::kInvalidArgument, "the device status lies on CUDA device %d, %s on %d", execution.device_options().status.device, name,
         device.id());
  }
  return device;
}

void* Device::allocate_from_caller(int64_t bytes) const {
  const DeviceAllocator& allocator = options_.allocator;
  void* memory = nullptr;
  const int32_t refusal = allocator.allocate(allocator.user, bytes, queue_.device, queue_.stream, &memory);
  if (refusal != 0 || !memory)
    fail(Status::kOutOfMemory, "the device allocator has no %lld bytes on device %d: it returned %d and %p", ll(bytes), queue_.device,
         refusal, memory);
  if (reinterpret_cast<uintptr_t>(memory) % kDeviceAlignment == 0) return memory;
  release(memory, bytes);
  fail(Status::kCallback, "the device allocator gave %p, expected an address aligned to %d bytes", memory,
       static_cast<int>(kDeviceAlignment));
}

void* Device::allocate(int64_t bytes) const {
  if (options_.allocator.allocate) return allocate_from_caller(bytes);
  void* memory = nullptr;
  checked([&](char* message) { return ops_->allocate(queue_, bytes, &memory, message); });
  return memory;
}

void Device::release(void* memory, int64_t bytes) const noexcept {
  const DeviceAllocator& allocator = options_.allocator;
  if (allocator.allocate) return allocator.release(allocator.user, memory, bytes, queue_.device, queue_.stream);
  char message[kMessageSize];
  ops_->release(queue_, memory, message);  // after a device error there is nothing left to do with it
}

void Device::clear(void* memory, int value, int64_t bytes) const {
  checked([&](char* message) { return ops_->clear(queue_, memory, value, bytes, message); });
}

void Device::to_device(void* to, const void* from, int64_t bytes) const {
  constexpr int64_t kWord = 4, kMostWords = 4096;
  if (bytes % kWord == 0 && bytes <= kMostWords * kWord) return run(&DeviceOps::set_words, DeviceWordsArgs{from, bytes / kWord, to});
  refuse_capture("a call with more than 4096 values in host memory");
  checked([&](char* message) { return ops_->to_device(queue_, to, from, bytes, message); });
}

void Device::to_host(void* to, const void* from, int64_t bytes) const {
  checked([&](char* message) { return ops_->to_host(queue_, to, from, bytes, message); });
}

void Device::start_check(DeviceCheck* check) const {
  checked([&](char* message) { return ops_->start_check(queue_, check, message); });
}

void Device::synchronize() const {
  checked([&](char* message) { return ops_->synchronize(queue_, message); });
}

void Device::record(void** event) const {
  checked([&](char* message) { return ops_->record(queue_, event, message); });
}

void Device::wait_event(void* event) const {
  checked([&](char* message) { return ops_->wait_event(queue_, event, message); });
}

void Device::synchronize_event(void* event) const {
  checked([&](char* message) { return ops_->synchronize_event(queue_, event, message); });
}

void Device::destroy_event(void* event) const noexcept {
  char message[kMessageSize];
  ops_->destroy_event(queue_, event, message);
}

void DeviceChecker::wait(const char* name) const {
  const DeviceCheck check = memory_.read()[0];
  if (check.fault != static_cast<int32_t>(DeviceFault::kNone)) throw error_of(check, name);
}

void DeviceChecker::finish(const char* name) const {
  if (!device_.status()) return wait(name);
  device_.run(&DeviceOps::publish, DevicePublishArgs{memory_.data(), device_.status()});
}

void check_device_status(const Execution& execution, CUstream_st* stream) {
  const DeviceStatusPlace& place = execution.device_options().status;
  if (!place.data) fail(Status::kWrongState, "the context has no device status");
  const Device device(device_ops(), {place.device, stream}, execution.device_options());
  device.refuse_capture("waiting for a device status");
  DeviceStatus found{};
  device.to_host(&found, place.data, sizeof found);
  if (found.status == 0) return;
  device.clear(place.data, 0, sizeof found);
  DeviceCheck check{};
  check.fault = found.fault;
  check.index = found.index;
  check.value = found.value;
  check.detail = found.detail;
  throw error_of(check, "x");
}

Error error_of(const DeviceCheck& check, const char* name) {
  const long long i = ll(check.index);
  const double value = check.value;
  const DeviceFault fault = static_cast<DeviceFault>(check.fault);
  char text[kMessageSize];
  const auto make = [&](const char* format, auto... values) {
    std::snprintf(text, sizeof text, format, values...);
    return Error(status_of(fault), text);
  };
  const HessianPlace place(check.index, check.detail > 0 ? check.detail : 1);
  const double first = static_cast<double>(value_of_pair(value, false)), second = static_cast<double>(value_of_pair(value, true));
  switch (fault) {
    case DeviceFault::kNotFinite: {
      const std::string what = non_finite_text(name, check.index, static_cast<Dtype>(check.detail), value);
      if (check.call == 0) return Error(Status::kNotFinite, what);
      return Error(Status::kNotFinite, "collect " + std::to_string(check.call) + ": " + what);
    }
    case DeviceFault::kGlobalNotFinite: return make("global_amax[%lld] is %g", i, value);
    case DeviceFault::kGlobalNegative: return make("global_amax[%lld] is %g, expected 0 or more", i, value);
    case DeviceFault::kGlobalZero: return make("global_amax[%lld] is 0 but x has magnitudes up to %g there", i, value);
    case DeviceFault::kGlobalTiny: return make("global_amax[%lld] is %g: its global scale is 0 in float32", i, value);
    case DeviceFault::kFoundTiny: return make("the amax of x is %g: its global scale is 0 in float32", value);
    case DeviceFault::kBlockNotFinite: return make("block_amax[%lld] is %g", i, value);
    case DeviceFault::kBlockNegative: return make("block_amax[%lld] is %g, expected 0 or more", i, value);
    case DeviceFault::kWeight: return make("weights[%lld] is %g, expected a positive finite value", i, value);
    case DeviceFault::kScaleNan: return make("scales[%lld] is 0x%02X, NaN", i, static_cast<unsigned>(value));
    case DeviceFault::kScaleNotFinite: return make("scales[%lld] is %g", i, value);
    case DeviceFault::kScaleNegative: return make("scales[%lld] is %g, expected 0 or more", i, value);
    case DeviceFault::kDecodeNotFinite: return make("global_scale[%lld] is %g", i, value);
    case DeviceFault::kDecodeNotPositive: return make("global_scale[%lld] is %g, expected a positive value", i, value);
    case DeviceFault::kHessianNotFinite: return Error(status_of(fault), hessian_not_finite_text(place, value));
    case DeviceFault::kHessianAsymmetric: return Error(status_of(fault), hessian_asymmetric_text(place, first, second));
    case DeviceFault::kHessiansNotFinite: return make("hessians[%lld] is %g", i, value);
    case DeviceFault::kHessiansAsymmetric: return Error(status_of(fault), hessians_asymmetric_text(place, first, second));
    case DeviceFault::kHessianSingular: return Error(status_of(fault), hessian_singular_text(check.index));
    case DeviceFault::kActivationsNotFinite:
      return Error(status_of(fault), non_finite_text("activations", check.index, static_cast<Dtype>(check.detail), value));
    default: return Error(Status::kInternal, "the device reports fault " + std::to_string(check.fault) + ", which is not known");
  }
}

}  // namespace nvfp4cal
