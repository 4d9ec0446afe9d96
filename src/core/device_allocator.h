// Memory on devices that comes from the caller (nvfp4cal_context_set_device_allocator).
#pragma once

#include <cstdint>

struct CUstream_st;

namespace nvfp4cal {

// Both in the order of the stream. allocate NULL: cudaMallocAsync.
struct DeviceAllocator {
  void* (*allocate)(void* user, int64_t bytes, int32_t device, CUstream_st* stream) = nullptr;
  void (*release)(void* user, void* memory, int32_t device, CUstream_st* stream) = nullptr;
  void* user = nullptr;
};

}  // namespace nvfp4cal
