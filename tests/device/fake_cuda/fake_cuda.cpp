#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime.h"

namespace fake_cuda {

namespace {

constexpr size_t kArenaBytes = size_t{1} << 30;  // of address space, a device
constexpr size_t kGuard = 64, kAlign = 256;
constexpr unsigned char kGuardByte = 0xA5, kFreedByte = 0xDD;
constexpr int kSharedMemory[kDevices] = {232448, 101376};  // of a thread block; the second one's are those of consumer cards

}  // namespace

void die(const char* what) {
  std::fprintf(stderr, "fake CUDA: %s\n", what);
  std::abort();
}

Runtime::Runtime() {
  arena = static_cast<char*>(mmap(nullptr, kArenaBytes * kDevices, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (arena == MAP_FAILED) die("no address space");
  for (int d = 0; d < kDevices; ++d) {
    default_streams[d] = std::make_shared<Stream>();
    default_streams[d]->device = d;
  }
}

bool Runtime::captures() const {
  for (const auto& [handle, stream] : streams) {
    if (stream->capture) return true;
  }
  return false;
}

Runtime& runtime() {
  static Runtime* const instance = new Runtime;
  return *instance;
}

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

namespace {

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

size_t offset_of(const void* memory) { return static_cast<size_t>(static_cast<const char*>(memory) - runtime().arena); }

}  // namespace

void with_memory(const std::function<void()>& work) {
  Runtime& cuda = runtime();
  if (cuda.running++ == 0) mprotect(cuda.arena, kArenaBytes * kDevices, PROT_READ | PROT_WRITE);
  work();
  if (--cuda.running == 0) mprotect(cuda.arena, kArenaBytes * kDevices, PROT_NONE);
}

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

namespace {

// What CUDA refuses while a graph is captured spoils the graph.
cudaError_t spoil(cudaError_t error) {
  for (const auto& [handle, stream] : runtime().streams) {
    if (stream->capture) stream->capture->spoilt = true;
  }
  return failed(error);
}

enum class Use { kOrdered, kWaiting };  // kWaiting: or anything else that no graph can hold

// The default stream would wait for all others.
cudaError_t capture_conflict(cudaStream_t stream, Use use) {
  if (!runtime().captures()) return cudaSuccess;
  if (!stream) return spoil(cudaErrorStreamCaptureImplicit);
  return use == Use::kWaiting && stream_of(stream)->capture ? spoil(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

// What concerns the whole device.
cudaError_t device_conflict() { return runtime().captures() ? spoil(cudaErrorStreamCaptureUnsupported) : cudaSuccess; }

#define REFUSE(conflict) \
  if (const cudaError_t refused = conflict; refused != cudaSuccess) return refused

}  // namespace

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
  if (stream->capture) return stream->capture->nodes.push_back(std::move(work));
  stream->work.push_back(std::move(work));
  ++stream->enqueued;
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

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
void refuse_host_addresses(const void*, size_t) {}  // their shadows lie at nearly every number
#else
void refuse_host_addresses(const void* from, size_t bytes) {
  // Where a process has its memory. Numbers of elements lie below, those of floats above.
  constexpr uint64_t kLeast = uint64_t{1} << 40, kMost = uint64_t{1} << 47;
  static const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  for (size_t at = 0; at + sizeof(uint64_t) <= bytes; at += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, static_cast<const char*>(from) + at, sizeof word);
    if (word < kLeast || word >= kMost || word - reinterpret_cast<uintptr_t>(runtime().arena) < kArenaBytes * kDevices) continue;
    unsigned char there;
    if (mincore(reinterpret_cast<void*>(word / page * page), 1, &there) == 0) die("an address of host memory for the device");
  }
}
#endif

bool has_shared_memory(size_t bytes) { return bytes <= static_cast<size_t>(kSharedMemory[current_device]); }

void enqueue_work(cudaStream_t stream, int64_t blocks, std::function<void(bool)> work) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  if (blocks <= 0) return static_cast<void>(failed(cudaErrorInvalidConfiguration));
  if (injected("launch") != cudaSuccess || capture_conflict(stream, Use::kOrdered) != cudaSuccess) return;
  push(stream_of(stream), [work = std::move(work)] { work(runtime().backwards); });
}

}  // namespace fake_cuda

using namespace fake_cuda;

struct CUevent_st {
  std::shared_ptr<Stream> stream;
  uint64_t count = 0;
};

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

// The second device has no memory pools.
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  ENTER("cudaDeviceGetAttribute");
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = 2; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = kSharedMemory[device]; break;
    case cudaDevAttrMemoryPoolsSupported: *value = device == 0 ? 1 : 0; break;
  }
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** out, size_t bytes) {
  ENTER("cudaMalloc");
  REFUSE(device_conflict());
  *out = take(bytes, current_device);
  return *out ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaMallocAsync(void** out, size_t bytes, cudaStream_t stream) {
  ENTER("cudaMallocAsync");
  REFUSE(capture_conflict(stream, Use::kOrdered));
  const std::shared_ptr<Stream> queue = stream_of(stream);
  *out = take(bytes, current_device);
  if (!*out) return failed(cudaErrorMemoryAllocation);
  if (queue->capture) {
    queue->capture->memory[*out] = true;
    push(queue, [memory = *out, bytes] { std::memset(memory, kFreedByte, bytes); });
  }
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  ENTER("cudaFree");
  REFUSE(device_conflict());
  run_all();
  give_back(memory);
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  ENTER("cudaFreeAsync");
  REFUSE(capture_conflict(stream, Use::kOrdered));
  const std::shared_ptr<Stream> queue = stream_of(stream);
  if (queue->capture) {
    const auto found = queue->capture->memory.find(memory);
    if (found == queue->capture->memory.end() || !found->second) return spoil(cudaErrorInvalidValue);
    found->second = false;
    push(queue, [memory, bytes = runtime().used.at(offset_of(memory))] { std::memset(memory, kFreedByte, bytes); });
    return cudaSuccess;
  }
  push(queue, [memory] { give_back(memory); });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  ENTER("cudaMemsetAsync");
  REFUSE(capture_conflict(stream, Use::kOrdered));
  check_range(memory, bytes);
  push(stream_of(stream), [=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  ENTER("cudaMemcpyAsync");
  REFUSE(capture_conflict(stream, Use::kWaiting));  // a launch would read host memory that may be gone, or write it
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
  REFUSE(capture_conflict(stream, Use::kWaiting));
  const std::shared_ptr<Stream> queue = stream_of(stream);
  run_until(queue, queue->enqueued);
  return cudaSuccess;
}

// Of the default stream it is an error that spoils nothing.
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  ENTER("cudaStreamIsCapturing");
  *status = cudaStreamCaptureStatusNone;
  if (!stream) return runtime().captures() ? failed(cudaErrorStreamCaptureImplicit) : cudaSuccess;
  const std::shared_ptr<FakeGraph> capture = stream_of(stream)->capture;
  if (capture) *status = capture->spoilt ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  ENTER("cudaEventCreateWithFlags");
  *out = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER("cudaEventRecord");
  REFUSE(capture_conflict(stream, Use::kWaiting));
  event->stream = stream_of(stream);
  event->count = event->stream->enqueued;
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER("cudaStreamWaitEvent");
  REFUSE(capture_conflict(stream, Use::kWaiting));
  const CUevent_st then = *event;
  const std::shared_ptr<Stream> waiting = stream_of(stream);
  if (!then.stream || then.stream == waiting) return cudaSuccess;
  push(waiting, [then] { run_until(then.stream, then.count); });
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER("cudaEventSynchronize");
  REFUSE(device_conflict());
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
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureImplicit: return "cudaErrorStreamCaptureImplicit";
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
