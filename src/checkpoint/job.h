// A checkpoint job: a folder with weights in, a folder in an NVFP4 format out. docs/checkpoint.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "checkpoint/monitor.h"
#include "checkpoint/options.h"
#include "core/ops.h"

namespace nvfp4cal::checkpoint {

class Job {
 public:
  Job();

  void set_execution(const Execution& execution) { execution_ = execution; }
  Options& options() { return options_; }
  void set_progress(Progress progress, void* user) {
    progress_ = progress;
    user_ = user;
  }

  // Throws; then no file of the run is left in the output folder, and the job can run again.
  void run(const std::string& input, const std::string& output);

  // What lies in a folder; how far a quantized model is from its original. See inspect.h, verify.h.
  void inspect(const std::string& folder);
  void verify(const std::string& original, const std::string& quantized);
  // Writes a quantized model in the other format, the one of the options. See convert.h.
  void convert(const std::string& input, const std::string& output);

  // From any thread: the run at hand throws kCancelled. Without a run, nothing happens.
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }

  // The last successful run's report, NULL if there was none. A run that fails leaves it alone.
  const std::string* report() const { return report_ ? &*report_ : nullptr; }
  // Forgets the report.
  void reset() { report_.reset(); }

 private:
  // work(execution, monitor) returns the new report; a cancel stops it.
  template <class Work>
  void report_of(Work&& work);

  Execution execution_;
  Options options_;
  Progress progress_ = nullptr;
  void* user_ = nullptr;
  std::atomic<bool> cancelled_{false};
  std::optional<std::string> report_;
};

}  // namespace nvfp4cal::checkpoint
