// Work is cut into chunks whose number never depends on the thread count, so that results are the same bits for 1 or 64 threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/device_options.h"

namespace nvfp4cal {

class ThreadPool;

// The caller's own pool (nvfp4cal_runner).
using Runner = int32_t (*)(void* user, void* job, void (*task)(void* job, int64_t index), int64_t n);

// Asked now and then by work that goes on, on any of its threads: throws if the work is to stop.
class Interrupt {
 public:
  virtual void check() = 0;

 protected:
  ~Interrupt() = default;
};

// Where work runs. A copy shares the pool; contexts and handles hold one each.
class Execution {
 public:
  Execution();  // NVFP4CAL_NUM_THREADS or all cores; the best CPU target

  // The process-wide default.
  static const Execution& process_default();

  void set_threads(int threads);  // 0: the default
  void set_runner(Runner runner, void* user);
  int threads() const { return threads_; }

  // Index into the CPU backend's list of targets, -1: the best one.
  int cpu_target() const { return cpu_target_; }
  void set_cpu_target(int index) { cpu_target_ = index; }

  const DeviceOptions& device_options() const { return device_options_; }
  DeviceOptions& device_options() { return device_options_; }

  // NULL (default): work is not interrupted. It must live as long as the work.
  void set_interrupt(Interrupt* interrupt) { interrupt_ = interrupt; }
  // parallel_for does this before each call of its body; bodies that take long do it, too.
  void check_interrupt() const {
    if (interrupt_) interrupt_->check();
  }

  // Calls body(i) once for each i in [0, n), on this thread and others. The first exception (by index) is thrown again here.
  // Nested calls and calls from inside the caller's own pool are fine: the calling thread can always do all the work itself.
  void parallel_for(int64_t n, const std::function<void(int64_t)>& body) const;

 private:
  int threads_;
  int cpu_target_ = -1;
  DeviceOptions device_options_;
  Runner runner_ = nullptr;
  void* runner_user_ = nullptr;
  Interrupt* interrupt_ = nullptr;
  std::shared_ptr<ThreadPool> pool_;
};

// The default number of threads: NVFP4CAL_NUM_THREADS if it is a number from 1 to 1024, else the cores this process may use.
int default_threads();

}  // namespace nvfp4cal
