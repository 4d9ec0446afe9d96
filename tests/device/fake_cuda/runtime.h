// The state of the fake runtime, and what its functions and the tests' control of it have in common.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control.h"
#include "cuda_runtime.h"

// Work that was captured. Its memory is its own until it is destroyed.
struct FakeGraph {
  std::vector<std::function<void()>> nodes{};
  std::map<void*, bool> memory{};  // whether it is still to be freed
  bool spoilt = false;
};

struct CUstream_st {};

namespace fake_cuda {

inline constexpr int kDevices = 2;

[[noreturn]] void die(const char* what);

struct Stream {
  int device = 0;
  std::deque<std::function<void()>> work{};
  uint64_t enqueued = 0, done = 0;
  std::shared_ptr<FakeGraph> capture{};
};

struct Failure {
  int32_t error, skip;
  bool forever;
};

// Everything is behind one lock; work runs under it.
struct Runtime {
  std::recursive_mutex mutex{};
  char* arena = nullptr;
  std::map<size_t, size_t> used{};  // offset -> bytes, over all devices
  std::map<CUstream_st*, std::shared_ptr<Stream>> streams{};
  std::shared_ptr<Stream> default_streams[kDevices]{};
  std::map<std::string, Failure> failures{};
  int running = 0;
  bool backwards = false;

  Runtime();
  bool captures() const;
};

Runtime& runtime();
extern thread_local int current_device;
extern thread_local cudaError_t last_error;

// Device memory can be used inside.
void with_memory(const std::function<void()>& work);
// Dies unless [memory, memory + bytes) is inside one allocation.
void check_range(const void* memory, size_t bytes);
// NULL where there is none left.
void* take(size_t bytes, int device);
void give_back(void* memory);

void run_until(const std::shared_ptr<Stream>& stream, uint64_t count);
// Work of the stream, or of the graph that it is captured in.
void push(const std::shared_ptr<Stream>& stream, std::function<void()> work);
// Of all streams.
void run_all();

}  // namespace fake_cuda
