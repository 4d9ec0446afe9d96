#include "quantize.h"

#include <nvfp4cal.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "progress_bar.h"
#include "summary.h"

namespace nvfp4cal_tool {

namespace {

volatile sig_atomic_t stop_signal = 0;

void on_signal(int signal) { stop_signal = signal; }

// While one of these lives, Ctrl-C and SIGTERM end the run in order: nothing is left in the output folder. The second one ends the process.
class SignalGuard {
 public:
  SignalGuard() {
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &interrupt_);
    sigaction(SIGTERM, &action, &terminate_);
  }
  ~SignalGuard() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGTERM, &terminate_, nullptr);
  }

 private:
  struct sigaction interrupt_, terminate_;
};

struct JobDeleter {
  void operator()(nvfp4cal_checkpoint* job) const { nvfp4cal_checkpoint_destroy(job); }
};
struct ContextDeleter {
  void operator()(nvfp4cal_context* context) const { nvfp4cal_context_destroy(context); }
};

// Stops at signals, and draws.
int32_t on_progress(void* user, int64_t done, int64_t total, const char* name) {
  if (stop_signal != 0) return 1;
  static_cast<ProgressBar*>(user)->update(done, total, name);
  return 0;
}

bool ok(nvfp4cal_status status) { return status == NVFP4CAL_OK; }

std::unique_ptr<nvfp4cal_checkpoint, JobDeleter> make_job(const QuantizeOptions& options, ProgressBar& bar) {
  nvfp4cal_checkpoint* handle = nullptr;
  nvfp4cal_context* raw_context = nullptr;
  if (!ok(nvfp4cal_checkpoint_create(&handle))) return nullptr;
  std::unique_ptr<nvfp4cal_checkpoint, JobDeleter> job(handle);
  if (!ok(nvfp4cal_context_create(&raw_context))) return nullptr;
  const std::unique_ptr<nvfp4cal_context, ContextDeleter> context(raw_context);
  const bool set = ok(nvfp4cal_context_set_threads(raw_context, options.threads)) &&
                   ok(nvfp4cal_checkpoint_set_context(handle, raw_context)) &&
                   ok(nvfp4cal_checkpoint_set_method(handle, options.method == "max" ? NVFP4CAL_METHOD_MAX : NVFP4CAL_METHOD_MSE)) &&
                   ok(nvfp4cal_checkpoint_set_progress(handle, on_progress, &bar));
  return set ? std::move(job) : nullptr;
}

bool write_report(const std::string& path, const char* mode, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), mode);
  if (!file) return false;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && written;
}

}  // namespace

void print_error(const std::string& message) { std::fprintf(stderr, "nvfp4cal: %s\n", message.c_str()); }

namespace {

// Runs the job; *report is set if all went well.
int run_job(const QuantizeOptions& options, const char** report, std::unique_ptr<nvfp4cal_checkpoint, JobDeleter>& job) {
  const SignalGuard guard;
  ProgressBar bar(!options.quiet);
  job = make_job(options, bar);
  if (!job) {
    print_error(nvfp4cal_last_error());
    return kExitFailed;
  }
  const nvfp4cal_status status = nvfp4cal_checkpoint_run(job.get(), options.input.c_str(), options.output.c_str());
  bar.clear();
  if (status == NVFP4CAL_ERROR_CALLBACK && stop_signal != 0) {
    print_error("interrupted; nothing was written");
    return kExitSignal + stop_signal;
  }
  if (!ok(status) || !ok(nvfp4cal_checkpoint_report(job.get(), report))) {
    print_error(nvfp4cal_last_error());
    return kExitFailed;
  }
  return kExitOk;
}

}  // namespace

int quantize(const QuantizeOptions& options) {
  // A report that cannot be written is better known before the work than after it.
  const bool wants_report = !options.report.empty();
  const bool is_new = wants_report && access(options.report.c_str(), F_OK) != 0;
  if (wants_report && !write_report(options.report, "ab", "")) {
    print_error("cannot write the report " + options.report);
    return kExitFailed;
  }
  std::unique_ptr<nvfp4cal_checkpoint, JobDeleter> job;
  const char* report = nullptr;
  if (const int code = run_job(options, &report, job); code != kExitOk) {
    if (is_new) std::remove(options.report.c_str());
    return code;
  }
  if (!options.quiet) print_summary(report);
  if (wants_report && !write_report(options.report, "wb", report)) {
    print_error("the model was written, but not the report " + options.report);
    return kExitFailed;
  }
  return kExitOk;
}

}  // namespace nvfp4cal_tool
