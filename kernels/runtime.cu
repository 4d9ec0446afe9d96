// Devices, memory, copies and events.
#include "kernels/ops.h"
#include "kernels/status.h"

namespace nvfp4cal::cuda {

namespace {

// Devices without memory pools (some virtual ones) get memory that is taken and released at once, with a wait.
cudaError_t has_pools(int device, bool* out) {
  int value = 0;
  const cudaError_t error = cudaDeviceGetAttribute(&value, cudaDevAttrMemoryPoolsSupported, device);
  *out = value != 0;
  return error;
}

cudaError_t captures(cudaStream_t stream, bool* out) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaError_t error = cudaStreamIsCapturing(stream, &status);
  *out = status != cudaStreamCaptureStatusNone;
  return error;
}

cudaEvent_t event_of(void* event) { return static_cast<cudaEvent_t>(event); }

}  // namespace

Status device_count(int32_t* out, char* message) {
  *out = 0;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    std::snprintf(message, kMessageSize, "no CUDA device: %s (%s)", cudaGetErrorString(error), cudaGetErrorName(error));
    return Status::kCudaUnavailable;
  }
  *out = count;
  return Status::kOk;
}

Status allocate(const DeviceQueue& queue, int64_t bytes, void** out, char* message) {
  *out = nullptr;
  bool unplaced = false;  // memory that is taken at once cannot be a graph's
  char what[64];
  std::snprintf(what, sizeof what, "allocating %lld bytes on device %d", static_cast<long long>(bytes), queue.device);
  const Status status = on_device(queue, what, message, [&] {
    bool pools = false;
    cudaError_t error = has_pools(queue.device, &pools);
    if (error == cudaSuccess && !pools) error = captures(queue.stream, &unplaced);
    if (error != cudaSuccess || unplaced) return error;
    return pools ? cudaMallocAsync(out, static_cast<size_t>(bytes), queue.stream) : cudaMalloc(out, static_cast<size_t>(bytes));
  });
  if (status != Status::kOk || !unplaced) return status;
  std::snprintf(message, kMessageSize, "device %d has no memory pools: a call that is captured in a graph needs a device allocator",
                queue.device);
  return Status::kUnsupported;
}

Status release(const DeviceQueue& queue, void* memory, char* message) {
  return on_device(queue, "releasing device memory", message, [&] {
    bool pools = false;
    const cudaError_t error = has_pools(queue.device, &pools);
    if (error != cudaSuccess) return error;
    return pools ? cudaFreeAsync(memory, queue.stream) : cudaFree(memory);
  });
}

Status clear(const DeviceQueue& queue, void* memory, int value, int64_t bytes, char* message) {
  return on_device(queue, "clearing device memory", message,
                   [&] { return cudaMemsetAsync(memory, value, static_cast<size_t>(bytes), queue.stream); });
}

// From pageable memory: the bytes are staged before the call returns.
Status to_device(const DeviceQueue& queue, void* to, const void* from, int64_t bytes, char* message) {
  return on_device(queue, "copying to the device", message,
                   [&] { return cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, queue.stream); });
}

Status to_host(const DeviceQueue& queue, void* to, const void* from, int64_t bytes, char* message) {
  return on_device(queue, "copying from the device", message, [&] {
    const cudaError_t error = cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, queue.stream);
    return error != cudaSuccess ? error : cudaStreamSynchronize(queue.stream);
  });
}

Status synchronize(const DeviceQueue& queue, char* message) {
  return on_device(queue, "waiting for a stream", message, [&] { return cudaStreamSynchronize(queue.stream); });
}

Status record(const DeviceQueue& queue, void** event, char* message) {
  return on_device(queue, "recording an event", message, [&] {
    if (!*event) {
      cudaEvent_t made = nullptr;
      const cudaError_t error = cudaEventCreateWithFlags(&made, cudaEventDisableTiming);
      if (error != cudaSuccess) return error;
      *event = made;
    }
    return cudaEventRecord(event_of(*event), queue.stream);
  });
}

Status wait_event(const DeviceQueue& queue, void* event, char* message) {
  return on_device(queue, "waiting for an event", message, [&] { return cudaStreamWaitEvent(queue.stream, event_of(event), 0); });
}

Status synchronize_event(const DeviceQueue& queue, void* event, char* message) {
  return on_device(queue, "waiting for an event", message, [&] { return cudaEventSynchronize(event_of(event)); });
}

Status is_capturing(const DeviceQueue& queue, bool* out, char* message) {
  return on_device(queue, "asking whether a stream is captured", message, [&] { return captures(queue.stream, out); });
}

Status destroy_event(const DeviceQueue& queue, void* event, char* message) {
  return on_device(queue, "destroying an event", message, [&] { return cudaEventDestroy(event_of(event)); });
}

}  // namespace nvfp4cal::cuda
