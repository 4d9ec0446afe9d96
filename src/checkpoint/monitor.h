// What the outside sees of a run, and how it stops one.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "core/error.h"

namespace nvfp4cal::checkpoint {

using Progress = int32_t (*)(void* user, int64_t done, int64_t total, const char* name);

class Monitor {
 public:
  Monitor(const std::atomic<bool>& cancelled, Progress progress, void* user) : cancelled_(cancelled), progress_(progress), user_(user) {}

  void set_total(int64_t bytes) { total_ = bytes; }

  // Throws kCancelled if the run is to stop.
  void check() const {
    if (cancelled_.load(std::memory_order_relaxed)) fail(Status::kCancelled, "the run was cancelled");
  }

  // So many more bytes of tensor data have been dealt with.
  void advance(int64_t bytes, const std::string& name) {
    done_ += bytes;
    check();
    if (!progress_) return;
    if (const int32_t result = progress_(user_, done_, total_, name.c_str()); result != 0) {
      fail(Status::kCallback, "the progress callback returned %d", result);
    }
    check();
  }

 private:
  const std::atomic<bool>& cancelled_;
  const Progress progress_;
  void* const user_;
  int64_t done_ = 0, total_ = 0;
};

}  // namespace nvfp4cal::checkpoint
