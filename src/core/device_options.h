// What a context says about calls on devices.
#pragma once

#include <cstdint>

struct CUstream_st;

namespace nvfp4cal {

// Memory that comes from the caller (nvfp4cal_context_set_device_allocator). Both in the order of the stream. allocate NULL: cudaMallocAsync.
struct DeviceAllocator {
  int32_t (*allocate)(void* user, int64_t bytes, int32_t device, CUstream_st* stream, void** out) = nullptr;
  void (*release)(void* user, void* memory, int64_t bytes, int32_t device, CUstream_st* stream) = nullptr;
  void* user = nullptr;
};

// Where one-call functions keep their first failure (nvfp4cal_context_set_device_status). data NULL: they wait for it instead.
struct DeviceStatusPlace {
  void* data = nullptr;  // DeviceStatus of core/device_ops.h
  int32_t device = 0;
};

struct DeviceOptions {
  DeviceAllocator allocator{};
  DeviceStatusPlace status{};
};

}  // namespace nvfp4cal
