#include "quantize.h"

#include <nvfp4cal.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <memory>

#include "progress_bar.h"
#include "report_file.h"
#include "summary.h"

namespace nvfp4cal_tool {

namespace {

volatile sig_atomic_t stop_signal = 0;
// What the handler cancels; an atomic pointer without locks is safe there.
std::atomic<nvfp4cal_checkpoint*> running{nullptr};
static_assert(std::atomic<nvfp4cal_checkpoint*>::is_always_lock_free);

void on_signal(int signal) {
  stop_signal = signal;
  if (nvfp4cal_checkpoint* job = running.load()) nvfp4cal_checkpoint_cancel(job);  // one relaxed store
}

// While one of these lives, Ctrl-C, SIGTERM and SIGHUP end the run in order: nothing is left in the output folder. The second one ends
// the process.
class SignalGuard {
 public:
  explicit SignalGuard(nvfp4cal_checkpoint* job) {
    running = job;
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      sigaction(kSignals[i], nullptr, &before_[i]);
      if (before_[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);  // nohup ignores SIGHUP
    }
  }
  ~SignalGuard() {
    for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before_[i], nullptr);
    running = nullptr;
  }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before_[std::size(kSignals)];
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
                   ok(nvfp4cal_checkpoint_set_format(
                       handle, options.format == "modelopt" ? NVFP4CAL_FORMAT_MODELOPT : NVFP4CAL_FORMAT_COMPRESSED_TENSORS)) &&
                   ok(nvfp4cal_checkpoint_set_progress(handle, on_progress, &bar));
  return set ? std::move(job) : nullptr;
}

}  // namespace

void print_error(const std::string& message) { std::fprintf(stderr, "nvfp4cal: %s\n", printable(message).c_str()); }

namespace {

// Runs the job; *report is set if all went well.
int run_job(const QuantizeOptions& options, const char** report, std::unique_ptr<nvfp4cal_checkpoint, JobDeleter>& job) {
  ProgressBar bar(!options.quiet);
  job = make_job(options, bar);
  if (!job) {
    print_error(nvfp4cal_last_error());
    return kExitFailed;
  }
  const SignalGuard guard(job.get());
  const nvfp4cal_status status = nvfp4cal_checkpoint_run(job.get(), options.input.c_str(), options.output.c_str());
  bar.clear();
  if ((status == NVFP4CAL_ERROR_CALLBACK || status == NVFP4CAL_ERROR_CANCELLED) && stop_signal != 0) {
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
  // What exceeds a limit, or goes to a closed pipe, is to be an error with a message.
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  ReportFile file(options.report);
  if (file.lies_in(options.input) || file.lies_in(options.output)) {
    print_error("the report must not lie in the model's folders: " + options.report);
    return kExitUsage;
  }
  // A report that cannot be written is better known before the work than after it.
  if (const std::string error = file.open(); !error.empty()) {
    print_error("cannot write the report " + options.report + ": " + error);
    return kExitFailed;
  }
  std::unique_ptr<nvfp4cal_checkpoint, JobDeleter> job;
  const char* report = nullptr;
  if (const int code = run_job(options, &report, job); code != kExitOk) return code;
  int code = kExitOk;
  if (const std::string error = file.write(report); !error.empty()) {
    print_error("the model was written, but not the report " + options.report + ": " + error);
    code = kExitFailed;
  }
  errno = 0;
  if (!options.quiet && !print_summary(report)) {
    print_error(std::string("the model was written, but not the table on stdout: ") + std::strerror(errno));
    code = kExitFailed;
  }
  print_warnings(report);
  return code;
}

}  // namespace nvfp4cal_tool
