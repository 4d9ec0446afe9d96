// Device memory and streams for tests: of the emulated device, or of a real one where NVFP4CAL_TEST_CUDA_PATH names the folder of a module that has one.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>
#include <stdexcept>

#include "api/api_test.h"
#include "core/device_ops.h"
#include "fake_cuda/control.h"

namespace device_test {

using namespace api_test;

// The module that the library under test finds, too.
struct Module {
  void* library = nullptr;
  const nvfp4cal::DeviceOps* ops = nullptr;
  bool emulated = true;

  Module() {
    const char* const real = std::getenv("NVFP4CAL_TEST_CUDA_PATH");
    const char* const mutant = std::getenv("NVFP4CAL_TEST_EMULATED_PATH");  // scripts/mutate_kernels.py
    const std::string folder = real ? real : mutant ? mutant : NVFP4CAL_TEST_MODULES "/emulated";
    emulated = real == nullptr;
    setenv("NVFP4CAL_CUDA_PATH", folder.c_str(), 1);
    library = dlopen((folder + "/libnvfp4cal_cuda.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    ops = reinterpret_cast<const nvfp4cal::DeviceOps* (*)()>(dlsym(library, nvfp4cal::kDeviceOpsSymbol))();
  }
  template <class Function>
  Function* control(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(library, name));
  }
};

inline const Module& module() {
  static const Module instance;
  return instance;
}

// What only the emulated device can be asked.
inline CUstream_st* make_stream(int32_t device) {
  return module().control<decltype(fake_cuda_stream_create)>("fake_cuda_stream_create")(device);
}
inline void destroy_stream(CUstream_st* stream) {
  module().control<decltype(fake_cuda_stream_destroy)>("fake_cuda_stream_destroy")(stream);
}
inline void fail_call(const char* function, int32_t error, int32_t skip = 0, bool forever = false) {
  module().control<decltype(fake_cuda_fail)>("fake_cuda_fail")(function, error, skip, forever);
}
inline void heal() { module().control<decltype(fake_cuda_heal)>("fake_cuda_heal")(); }
inline int32_t live_allocations() { return module().control<decltype(fake_cuda_live_allocations)>("fake_cuda_live_allocations")(); }
inline void begin_capture(CUstream_st* stream) { module().control<decltype(fake_cuda_begin_capture)>("fake_cuda_begin_capture")(stream); }
inline FakeGraph* end_capture(CUstream_st* stream) {
  return module().control<decltype(fake_cuda_end_capture)>("fake_cuda_end_capture")(stream);
}
inline void launch_graph(FakeGraph* graph, CUstream_st* stream) {
  module().control<decltype(fake_cuda_launch_graph)>("fake_cuda_launch_graph")(graph, stream);
}
inline int32_t graph_size(const FakeGraph* graph) {
  return module().control<decltype(fake_cuda_graph_size)>("fake_cuda_graph_size")(graph);
}
inline void destroy_graph(FakeGraph* graph) { module().control<decltype(fake_cuda_destroy_graph)>("fake_cuda_destroy_graph")(graph); }
inline int32_t pending() { return module().control<decltype(fake_cuda_pending)>("fake_cuda_pending")(); }
inline int32_t current_device() { return module().control<decltype(fake_cuda_current_device)>("fake_cuda_current_device")(); }
inline void set_current_device(int32_t device) {
  module().control<decltype(fake_cuda_set_current_device)>("fake_cuda_set_current_device")(device);
}
inline void set_backwards(bool enable) { module().control<decltype(fake_cuda_backwards)>("fake_cuda_backwards")(enable); }

// What a test that needs the emulated device begins with.
#define NEEDS_EMULATION()                                           \
  if (!device_test::module().emulated) {                            \
    WARN("SKIPPED: asks what only the emulated device can answer"); \
    return;                                                         \
  }

inline constexpr int32_t kOutOfMemory = 2, kIllegalAddress = 700;  // cudaErrorMemoryAllocation, cudaErrorIllegalAddress

// Bytes on a device.
class Memory {
 public:
  Memory(const void* from, size_t bytes, int32_t device = 0) : bytes_(bytes) {
    queue_.device = device;
    char message[nvfp4cal::kMessageSize];
    REQUIRE(module().ops->allocate(queue_, static_cast<int64_t>(bytes + 64), &data_, message) == nvfp4cal::Status::kOk);
    if (from) REQUIRE(module().ops->to_device(queue_, data_, from, static_cast<int64_t>(bytes), message) == nvfp4cal::Status::kOk);
    REQUIRE(module().ops->synchronize(queue_, message) == nvfp4cal::Status::kOk);
  }
  Memory(const Memory&) = delete;
  ~Memory() {
    char message[nvfp4cal::kMessageSize];
    module().ops->release(queue_, data_, message);
    module().ops->synchronize(queue_, message);
  }

  void* data() const { return data_; }
  void write(const void* from) const {
    char message[nvfp4cal::kMessageSize];
    REQUIRE(module().ops->to_device(queue_, data_, from, static_cast<int64_t>(bytes_), message) == nvfp4cal::Status::kOk);
    REQUIRE(module().ops->synchronize(queue_, message) == nvfp4cal::Status::kOk);
  }
  template <class T>
  std::vector<T> read() const {
    std::vector<T> values(bytes_ / sizeof(T));
    char message[nvfp4cal::kMessageSize];
    REQUIRE(module().ops->to_host(queue_, values.data(), data_, static_cast<int64_t>(bytes_), message) == nvfp4cal::Status::kOk);
    return values;
  }

 private:
  nvfp4cal::DeviceQueue queue_;
  size_t bytes_;
  void* data_ = nullptr;
};

// A vector on a device.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values, int32_t device = 0)
      : memory_(values.data(), values.size() * sizeof(T), device), device_(device) {}

  nvfp4cal_tensor view(int32_t dtype, const Shape& shape, size_t skip = 0) const {
    nvfp4cal_tensor tensor = api_test::view(static_cast<T*>(memory_.data()) + skip, dtype, shape);
    tensor.device_type = 2;
    tensor.device_id = device_;
    return tensor;
  }
  std::vector<T> read() const { return memory_.template read<T>(); }
  // As many values as at first.
  void write(const std::vector<T>& values) const { memory_.write(values.data()); }
  void* data() const { return memory_.data(); }

 private:
  Memory memory_;
  int32_t device_;
};

// The host tensor, and the same bytes on a device.
inline nvfp4cal_tensor moved(const nvfp4cal_tensor& host, void* data, int32_t device = 0) {
  nvfp4cal_tensor tensor = host;
  tensor.data = data;
  tensor.device_type = 2;
  tensor.device_id = device;
  return tensor;
}

struct Dtyped {
  int32_t dtype;
  const char* name;
};
inline constexpr Dtyped kFloatDtypes[] = {
    {NVFP4CAL_DTYPE_F32, "float32"}, {NVFP4CAL_DTYPE_BF16, "bfloat16"}, {NVFP4CAL_DTYPE_F16, "float16"}, {NVFP4CAL_DTYPE_F64, "float64"}};

// Values as the bytes of a dtype; float16 by way of exponents that it has.
inline Bytes as_bytes(const Floats& values, int32_t dtype) {
  Bytes bytes(values.size() * dtype_size(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    uint8_t* const out = bytes.data() + i * dtype_size(dtype);
    const double wide = values[i];
    const uint16_t bf16 = truncated_bf16(values[i]);
    const _Float16 half = static_cast<_Float16>(values[i]);
    switch (dtype) {
      case NVFP4CAL_DTYPE_F32: std::memcpy(out, &values[i], 4); break;
      case NVFP4CAL_DTYPE_BF16: std::memcpy(out, &bf16, 2); break;
      case NVFP4CAL_DTYPE_F16: std::memcpy(out, &half, 2); break;
      default: std::memcpy(out, &wide, 8);
    }
  }
  return bytes;
}

template <class Handle>
Handle* created(nvfp4cal_status (*create)(Handle**)) {
  Handle* handle = nullptr;
  REQUIRE(create(&handle) == NVFP4CAL_OK);
  return handle;
}

}  // namespace device_test
