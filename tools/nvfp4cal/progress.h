// How far a job is, on stderr: a bar where that is a terminal, a line now and then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>

namespace nvfp4cal_tool {

class Progress {
 public:
  // interval: seconds between two lines where stderr is no terminal.
  Progress(bool wanted, double interval);
  void update(int64_t done, int64_t total, const char* name);
  // Leaves the line empty for what comes next.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  void draw_bar(double part, double seconds, int64_t done, const char* name);
  void print_line(double part, double seconds, int64_t done, int64_t total) const;

  const bool wanted_, terminal_;
  const double interval_;
  bool drawn_ = false;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace nvfp4cal_tool
