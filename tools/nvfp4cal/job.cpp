#include "job.h"

#include <signal.h>

#include <atomic>
#include <iterator>

#include "exit_codes.h"
#include "progress.h"
#include "text.h"

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

// While one of these lives, Ctrl-C, SIGTERM and SIGHUP end the job in order: nothing is left in the output folder. The second one ends
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

struct ContextDeleter {
  void operator()(nvfp4cal_context* context) const { nvfp4cal_context_destroy(context); }
};

// Stops at signals, and draws.
int32_t on_progress(void* user, int64_t done, int64_t total, const char* name) {
  if (stop_signal != 0) return 1;
  static_cast<Progress*>(user)->update(done, total, name);
  return 0;
}

bool ok(nvfp4cal_status status) { return status == NVFP4CAL_OK; }

}  // namespace

bool Job::create() {
  nvfp4cal_checkpoint* handle = nullptr;
  nvfp4cal_context* raw_context = nullptr;
  if (!ok(nvfp4cal_checkpoint_create(&handle))) return false;
  handle_.reset(handle);
  if (!ok(nvfp4cal_context_create(&raw_context))) return false;
  const std::unique_ptr<nvfp4cal_context, ContextDeleter> context(raw_context);
  return ok(nvfp4cal_context_set_threads(raw_context, options_.threads)) && ok(nvfp4cal_checkpoint_set_context(handle, raw_context));
}

int Job::run(const std::function<nvfp4cal_status(nvfp4cal_checkpoint*)>& action, bool writes) {
  // What exceeds a limit, or goes to a closed pipe, is to be an error with a message.
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  Progress progress(!options_.quiet, options_.interval);
  if (!create() || !ok(nvfp4cal_checkpoint_set_progress(handle_.get(), on_progress, &progress))) {
    print_error(nvfp4cal_last_error());
    return kExitFailed;
  }
  const SignalGuard guard(handle_.get());
  const nvfp4cal_status status = action(handle_.get());
  progress.clear();
  if ((status == NVFP4CAL_ERROR_CALLBACK || status == NVFP4CAL_ERROR_CANCELLED) && stop_signal != 0) {
    print_error(writes ? "interrupted; nothing was written" : "interrupted");
    return kExitSignal + stop_signal;
  }
  if (!ok(status) || !ok(nvfp4cal_checkpoint_report(handle_.get(), &report_))) {
    print_error(nvfp4cal_last_error());
    return kExitFailed;
  }
  return kExitOk;
}

}  // namespace nvfp4cal_tool
