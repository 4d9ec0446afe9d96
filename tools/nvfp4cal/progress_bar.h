// A progress bar on stderr where that is a terminal; silent elsewhere.
#pragma once

#include <chrono>
#include <cstdint>

namespace nvfp4cal_tool {

class ProgressBar {
 public:
  explicit ProgressBar(bool wanted);
  void update(int64_t done, int64_t total, const char* name);
  // Leaves the line empty for what comes next.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  const bool shown_;
  bool drawn_ = false;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = {};
};

}  // namespace nvfp4cal_tool
