// What the outside sees of a run, and how it stops one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/parallel.h"

namespace nvfp4cal::checkpoint {

using Progress = int32_t (*)(void* user, int64_t done, int64_t total, const char* name);

// Made and advanced by the thread that runs the job. Any thread may check.
class Monitor : public Interrupt {
 public:
  Monitor(const std::atomic<bool>& cancelled, Progress progress, void* user) : cancelled_(cancelled), progress_(progress), user_(user) {}

  void set_total(int64_t bytes) { total_ = bytes; }

  // Throws if the run is to stop. Calls the progress callback where the last call was long ago: hosts stop a run there, in the middle of a large layer too.
  void check() override {
    if (cancelled_.load(std::memory_order_relaxed)) fail(Status::kCancelled, "the run was cancelled");
    check_callback();
    if (progress_ && std::this_thread::get_id() == caller_ && Clock::now() - called_ >= kPulse) call();
  }

  // So many more bytes of tensor data have been dealt with.
  void advance(int64_t bytes, const std::string& name) {
    done_ += bytes;
    name_ = name;
    check();
    if (!progress_) return;
    call();
    check();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPulse{100};

  void call() {
    result_.store(progress_(user_, done_, total_, name_.c_str()), std::memory_order_relaxed);
    called_ = Clock::now();
    check_callback();
  }

  // The other threads' tasks stop, too.
  void check_callback() const {
    if (const int32_t result = result_.load(std::memory_order_relaxed); result != 0)
      fail(Status::kCallback, "the progress callback returned %d", result);
  }

  const std::atomic<bool>& cancelled_;
  const Progress progress_;
  void* const user_;
  const std::thread::id caller_ = std::this_thread::get_id();
  int64_t done_ = 0, total_ = 0;
  std::string name_;  // of the last tensor
  Clock::time_point called_ = Clock::now();
  std::atomic<int32_t> result_{0};  // of the last call
};

}  // namespace nvfp4cal::checkpoint
