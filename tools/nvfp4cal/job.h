// A checkpoint job of the library with what every command needs around it: threads, progress, signals, errors on stderr.
#pragma once

#include <nvfp4cal.h>

#include <functional>
#include <memory>
#include <string>

namespace nvfp4cal_tool {

// Options of every command.
struct CommonOptions {
  int threads = 0;  // 0: the library's default
  double interval = 10.0;
  bool quiet = false;
  bool json = false;  // the report on stdout, in place of words
};

class Job {
 public:
  explicit Job(const CommonOptions& options) : options_(options) {}

  // action(handle): sets options and does the work; its first status that is not OK ends it, and the library says why. Returns an exit code;
  // the report is set if that is 0. `writes`: for the message after a signal.
  int run(const std::function<nvfp4cal_status(nvfp4cal_checkpoint*)>& action, bool writes);

  // UTF-8 JSON; lives as long as the job.
  const char* report() const { return report_; }

 private:
  struct Destroy {
    void operator()(nvfp4cal_checkpoint* job) const { nvfp4cal_checkpoint_destroy(job); }
  };

  bool create();

  const CommonOptions options_;
  std::unique_ptr<nvfp4cal_checkpoint, Destroy> handle_;
  const char* report_ = nullptr;
};

}  // namespace nvfp4cal_tool
