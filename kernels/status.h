// CUDA's errors as statuses, with their text, and the caller's current device kept.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>

#include "core/device_ops.h"

namespace nvfp4cal::cuda {

inline Status status_of(cudaError_t error, const char* what, char* message) {
  if (error == cudaSuccess) return Status::kOk;
  cudaGetLastError();  // what can be forgotten is; errors of the device itself stay
  if (error == cudaErrorMemoryAllocation) {
    std::snprintf(message, kMessageSize, "%s: out of device memory", what);
    return Status::kOutOfMemory;
  }
  std::snprintf(message, kMessageSize, "%s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
  return Status::kCuda;
}

// body() with the queue's device current. Every entry of the table goes through here.
template <class Body>
Status on_device(const DeviceQueue& queue, const char* what, char* message, Body&& body) {
  int before = 0;
  cudaError_t error = cudaGetDevice(&before);
  if (error == cudaSuccess && before != queue.device) error = cudaSetDevice(queue.device);
  if (error == cudaSuccess) error = body();
  if (before != queue.device) {
    const cudaError_t back = cudaSetDevice(before);
    if (error == cudaSuccess) error = back;
  }
  return status_of(error, what, message);
}

}  // namespace nvfp4cal::cuda
