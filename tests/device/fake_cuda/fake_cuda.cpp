#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control.h"
#include "cuda_runtime.h"

namespace {

constexpr int kDevices = 2;
constexpr size_t kArenaBytes = size_t{1} << 30;  // of address space, a device
constexpr size_t kGuard = 64, kAlign = 256;
constexpr unsigned char kGuardByte = 0xA5, kFreedByte = 0xDD;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "fake CUDA: %s\n", what);
  std::abort();
}

struct Stream {
  int device = 0;
  std::deque<std::function<void()>> work{};
  uint64_t enqueued = 0, done = 0;
};

struct Failure {
  int32_t error, skip;
  bool forever;
};

// Everything is behind one lock; work runs under it.
struct Runtime {
  std::recursive_mutex mutex;
  char* arena = nullptr;
  std::map<size_t, size_t> used;  // offset -> bytes, over all devices
  std::map<CUstream_st*, std::shared_ptr<Stream>> streams;
  std::shared_ptr<Stream> default_streams[kDevices];
  std::map<std::string, Failure> failures;
  int running = 0;
  bool backwards = false;

  Runtime() {
    arena = static_cast<char*>(mmap(nullptr, kArenaBytes * kDevices, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (arena == MAP_FAILED) die("no address space");
    for (int d = 0; d < kDevices; ++d) {
      default_streams[d] = std::make_shared<Stream>();
      default_streams[d]->device = d;
    }
  }
};

Runtime& runtime() {
  static Runtime* const instance = new Runtime;
  return *instance;
}

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t failed(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// The error that a test wants of this function.
cudaError_t injected(const char* function) {
  Runtime& cuda = runtime();
  const auto found = cuda.failures.find(function);
  if (found == cuda.failures.end()) return cudaSuccess;
  if (found->second.skip-- > 0) return cudaSuccess;
  const cudaError_t error = static_cast<cudaError_t>(found->second.error);
  if (!found->second.forever) cuda.failures.erase(found);
  return failed(error);
}

#define ENTER(name)                                                  \
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex); \
  if (const cudaError_t wanted = injected(name); wanted != cudaSuccess) return wanted

std::shared_ptr<Stream> stream_of(cudaStream_t stream) {
  if (!stream) return runtime().default_streams[current_device];
  const auto found = runtime().streams.find(stream);
  if (found == runtime().streams.end()) die("a stream that does not exist");
  if (found->second->device != current_device) die("a stream of another device than the current one");
  return found->second;
}

// Device memory can be used inside.
void with_memory(const std::function<void()>& work) {
  Runtime& cuda = runtime();
  if (cuda.running++ == 0) mprotect(cuda.arena, kArenaBytes * kDevices, PROT_READ | PROT_WRITE);
  work();
  if (--cuda.running == 0) mprotect(cuda.arena, kArenaBytes * kDevices, PROT_NONE);
}

void run_until(const std::shared_ptr<Stream>& stream, uint64_t count) {
  while (stream->done < count) {
    const std::function<void()> work = std::move(stream->work.front());
    stream->work.pop_front();
    with_memory(work);
    ++stream->done;
  }
}

void run_all() {
  for (const auto& stream : runtime().default_streams) run_until(stream, stream->enqueued);
  for (const auto& [handle, stream] : runtime().streams) run_until(stream, stream->enqueued);
}

void push(const std::shared_ptr<Stream>& stream, std::function<void()> work) {
  stream->work.push_back(std::move(work));
  ++stream->enqueued;
}

size_t offset_of(const void* memory) { return static_cast<size_t>(static_cast<const char*>(memory) - runtime().arena); }

// Whether [memory, memory + bytes) is inside one allocation.
void check_range(const void* memory, size_t bytes) {
  const auto& used = runtime().used;
  auto found = used.upper_bound(offset_of(memory));
  if (found == used.begin()) die("an address that is not of the device");
  --found;
  if (offset_of(memory) + bytes > found->first + found->second) die("beyond the end of an allocation");
}

void* take(size_t bytes, int device) {
  Runtime& cuda = runtime();
  size_t at = kArenaBytes * static_cast<size_t>(device) + kAlign;
  const size_t end = kArenaBytes * (static_cast<size_t>(device) + 1);
  for (const auto& [offset, size] : cuda.used) {
    if (offset + size < at || offset >= end) continue;
    if (offset >= at + bytes + 2 * kGuard) break;
    at = (offset + size + 2 * kGuard + kAlign - 1) / kAlign * kAlign;
  }
  if (at + bytes + kGuard > end) return nullptr;
  cuda.used[at] = bytes;
  char* const memory = cuda.arena + at;
  with_memory([&] {
    std::memset(memory - kGuard, kGuardByte, kGuard);
    std::memset(memory, kFreedByte, bytes);
    std::memset(memory + bytes, kGuardByte, kGuard);
  });
  return memory;
}

void give_back(void* memory) {
  Runtime& cuda = runtime();
  const auto found = cuda.used.find(offset_of(memory));
  if (found == cuda.used.end()) die("memory released that is not allocated");
  const size_t bytes = found->second;
  with_memory([&] {
    const unsigned char* const bytes_of = static_cast<const unsigned char*>(memory);
    for (size_t i = 0; i < kGuard; ++i) {
      if (*(bytes_of - 1 - i) != kGuardByte || bytes_of[bytes + i] != kGuardByte) die("memory beside an allocation was written");
    }
    std::memset(memory, kFreedByte, bytes);
  });
  cuda.used.erase(found);
}

}  // namespace

struct CUstream_st {};
struct CUevent_st {
  std::shared_ptr<Stream> stream;
  uint64_t count = 0;
};

namespace fake_cuda {

void enqueue(cudaStream_t stream, std::function<void(bool)> work) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  if (injected("launch") != cudaSuccess) return;
  push(stream_of(stream), [work = std::move(work)] { work(runtime().backwards); });
}

}  // namespace fake_cuda

cudaError_t cudaGetDeviceCount(int* count) {
  ENTER("cudaGetDeviceCount");
  *count = kDevices;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  ENTER("cudaGetDevice");
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  ENTER("cudaSetDevice");
  if (device < 0 || device >= kDevices) return failed(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}

// The second device has no memory pools, and as little shared memory as consumer cards.
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  ENTER("cudaDeviceGetAttribute");
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = 2; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = device == 0 ? 232448 : 101376; break;
    case cudaDevAttrMemoryPoolsSupported: *value = device == 0 ? 1 : 0; break;
  }
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** out, size_t bytes) {
  ENTER("cudaMalloc");
  *out = take(bytes, current_device);
  return *out ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaMallocAsync(void** out, size_t bytes, cudaStream_t stream) {
  ENTER("cudaMallocAsync");
  stream_of(stream);
  *out = take(bytes, current_device);
  return *out ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* memory) {
  ENTER("cudaFree");
  run_all();
  give_back(memory);
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  ENTER("cudaFreeAsync");
  push(stream_of(stream), [memory] { give_back(memory); });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  ENTER("cudaMemsetAsync");
  check_range(memory, bytes);
  push(stream_of(stream), [=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  ENTER("cudaMemcpyAsync");
  check_range(kind == cudaMemcpyHostToDevice ? to : from, bytes);
  if (kind == cudaMemcpyHostToDevice) {
    const auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
    push(stream_of(stream), [=] {
      if (!staged->empty()) std::memcpy(to, staged->data(), staged->size());
    });
  } else {  // to pageable memory: returns when it is done
    const std::shared_ptr<Stream> queue = stream_of(stream);
    run_until(queue, queue->enqueued);
    if (bytes > 0) with_memory([&] { std::memcpy(to, from, bytes); });
  }
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER("cudaStreamSynchronize");
  const std::shared_ptr<Stream> queue = stream_of(stream);
  run_until(queue, queue->enqueued);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  ENTER("cudaEventCreateWithFlags");
  *out = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER("cudaEventRecord");
  event->stream = stream_of(stream);
  event->count = event->stream->enqueued;
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER("cudaStreamWaitEvent");
  const CUevent_st then = *event;
  const std::shared_ptr<Stream> waiting = stream_of(stream);
  if (!then.stream || then.stream == waiting) return cudaSuccess;
  push(waiting, [then] { run_until(then.stream, then.count); });
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER("cudaEventSynchronize");
  if (event->stream) run_until(event->stream, event->count);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ENTER("cudaEventDestroy");
  delete event;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    default: return "cudaErrorUnknown";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    default: return "unknown error";
  }
}

#define CONTROL extern "C" __attribute__((visibility("default")))

CONTROL CUstream_st* fake_cuda_stream_create(int32_t device) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  CUstream_st* const handle = new CUstream_st;
  const auto stream = std::make_shared<Stream>();
  stream->device = device;
  runtime().streams[handle] = stream;
  return handle;
}

CONTROL void fake_cuda_stream_destroy(CUstream_st* handle) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  const std::shared_ptr<Stream> stream = runtime().streams.at(handle);
  run_until(stream, stream->enqueued);
  runtime().streams.erase(handle);
  delete handle;
}

CONTROL void fake_cuda_fail(const char* function, int32_t error, int32_t skip, int32_t forever) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().failures[function] = {error, skip, forever != 0};
}

CONTROL void fake_cuda_heal() {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().failures.clear();
  last_error = cudaSuccess;
}

CONTROL int32_t fake_cuda_live_allocations() {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  return static_cast<int32_t>(runtime().used.size());
}

CONTROL int32_t fake_cuda_pending() {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  size_t count = 0;
  for (const auto& stream : runtime().default_streams) count += stream->work.size();
  for (const auto& [handle, stream] : runtime().streams) count += stream->work.size();
  return static_cast<int32_t>(count);
}

CONTROL int32_t fake_cuda_current_device() { return current_device; }
CONTROL void fake_cuda_set_current_device(int32_t device) { current_device = device; }
CONTROL void fake_cuda_backwards(int32_t enable) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().backwards = enable != 0;
}

CONTROL void* fake_cuda_allocate(int64_t bytes, int32_t device) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  return take(static_cast<size_t>(bytes), device);
}

CONTROL void fake_cuda_release(void* memory) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  run_all();
  give_back(memory);
}

CONTROL void fake_cuda_write(void* to, const void* from, int64_t bytes) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  run_all();
  check_range(to, static_cast<size_t>(bytes));
  with_memory([&] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
}

CONTROL void fake_cuda_read(void* to, const void* from, int64_t bytes) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  run_all();
  check_range(from, static_cast<size_t>(bytes));
  with_memory([&] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
}
