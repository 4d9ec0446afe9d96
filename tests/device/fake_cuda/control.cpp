// What tests ask of the fake runtime.
#include <cstring>

#include "runtime.h"

using namespace fake_cuda;

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
  run_all();
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

CONTROL void fake_cuda_begin_capture(CUstream_st* stream) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().streams.at(stream)->capture = std::make_shared<FakeGraph>();
}

CONTROL FakeGraph* fake_cuda_end_capture(CUstream_st* stream) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  const std::shared_ptr<FakeGraph> graph = std::move(runtime().streams.at(stream)->capture);
  bool freed = true;
  for (const auto& [memory, live] : graph->memory) freed = freed && !live;
  if (!graph->spoilt && freed) return new FakeGraph(*graph);
  for (const auto& [memory, live] : graph->memory) give_back(memory);
  return nullptr;
}

CONTROL void fake_cuda_launch_graph(FakeGraph* graph, CUstream_st* stream) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  for (const std::function<void()>& node : graph->nodes) push(runtime().streams.at(stream), node);
}

CONTROL int32_t fake_cuda_graph_size(const FakeGraph* graph) { return static_cast<int32_t>(graph->nodes.size()); }

CONTROL void fake_cuda_destroy_graph(FakeGraph* graph) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  for (const auto& [memory, live] : graph->memory) give_back(memory);
  delete graph;
}
