// What tests can ask of the fake runtime, found in the module by name.
#pragma once

#include <cstdint>

struct CUstream_st;
struct FakeGraph;

// A stream of the calling thread's current device; destroying one does its work first.
extern "C" CUstream_st* fake_cuda_stream_create(int32_t device);
extern "C" void fake_cuda_stream_destroy(CUstream_st* stream);
// The function of this name fails with this error, after `skip` calls that do not; once, or with forever from then on.
extern "C" void fake_cuda_fail(const char* function, int32_t error, int32_t skip, int32_t forever);
extern "C" void fake_cuda_heal();
// Does all work, and counts the allocations that are then not released.
extern "C" int32_t fake_cuda_live_allocations();
// Pieces of work that wait in all streams.
extern "C" int32_t fake_cuda_pending();
extern "C" int32_t fake_cuda_current_device();
extern "C" void fake_cuda_set_current_device(int32_t device);
// Work on the stream becomes part of a graph. Meanwhile whatever CUDA refuses then (waiting, the default stream, memory that is not in the order of a
// stream, copies of host memory that a later launch would read) is an error that spoils the graph.
extern "C" void fake_cuda_begin_capture(CUstream_st* stream);
// NULL: the graph was spoilt.
extern "C" FakeGraph* fake_cuda_end_capture(CUstream_st* stream);
extern "C" void fake_cuda_launch_graph(FakeGraph* graph, CUstream_st* stream);
extern "C" int32_t fake_cuda_graph_size(const FakeGraph* graph);
extern "C" void fake_cuda_destroy_graph(FakeGraph* graph);
// Kernels run their blocks and threads from the last to the first.
extern "C" void fake_cuda_backwards(int32_t enable);
// Device memory for tests in other languages; reading and releasing do all work first. NULL where there is none left.
extern "C" void* fake_cuda_allocate(int64_t bytes, int32_t device);
extern "C" void fake_cuda_release(void* memory);
extern "C" void fake_cuda_write(void* to, const void* from, int64_t bytes);
extern "C" void fake_cuda_read(void* to, const void* from, int64_t bytes);
