#include "core/parallel.h"

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "core/blocked_signals.h"
#include "core/error.h"
#include "core/float_env.h"

namespace nvfp4cal {

namespace {

// One parallel_for: threads take indices until none is left.
struct Job {
  Job(const Execution& where, int64_t count, const std::function<void(int64_t)>& function) : execution(where), n(count), body(function) {}

  const Execution& execution;
  const int64_t n;
  const std::function<void(int64_t)>& body;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> finished{0};
  int helpers = 0;  // pool threads inside run_all(), guarded by the pool's mutex
  std::mutex failure_mutex;
  int64_t failed_index = -1;
  std::exception_ptr failure;

  void run_one(int64_t index) {
    const FloatEnvironment environment;
    try {
      execution.check_interrupt();
      body(index);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_mutex);
      if (failed_index < 0 || index < failed_index) {
        failed_index = index;
        failure = std::current_exception();
      }
    }
    finished.fetch_add(1, std::memory_order_acq_rel);
  }

  void run_all() {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) run_one(i);
  }

  void rethrow() const {
    if (failure) std::rethrow_exception(failure);
  }
};

}  // namespace

// Threads are made at the first job and wait between jobs. A child after fork() has none of them: whoever uses the pool
// there finds another process id and makes a new set of workers.
class ThreadPool {
 public:
  explicit ThreadPool(int workers) : worker_count_(workers) {}
  ~ThreadPool() {
    if (Workers* workers = current_.load(); workers && workers->pid == getpid()) delete workers;
    // Workers of a parent process stay allocated: their mutexes may have been held when fork() copied them.
  }

  void run(Job& job) {
    Workers& workers = of_this_process();
    workers.add(job);
    job.run_all();
    workers.remove(job);
  }

 private:
  struct Workers {
    explicit Workers(int count) : pid(getpid()) {
      threads.reserve(static_cast<size_t>(count));  // the one step that may throw here
      const BlockedSignals blocked;
      for (int i = 0; i < count; ++i) {
        try {
          threads.emplace_back([this] { loop(); });
        } catch (const std::exception&) {
          break;  // no thread or no memory for one: the caller's thread does the rest
        }
      }
    }
    ~Workers() {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        stop = true;
      }
      wake.notify_all();
      for (std::thread& thread : threads) thread.join();
    }

    void add(Job& job) {
      const std::lock_guard<std::mutex> lock(mutex);
      jobs.push_back(&job);
      wake.notify_all();
    }

    // Returns when no worker can touch the job any more.
    void remove(Job& job) {
      std::unique_lock<std::mutex> lock(mutex);
      jobs.remove(&job);
      idle.wait(lock, [&] { return job.helpers == 0; });
    }

    void loop() {
      std::unique_lock<std::mutex> lock(mutex);
      for (;;) {
        wake.wait(lock, [&] { return stop || !jobs.empty(); });
        if (stop) return;
        Job* job = jobs.front();
        ++job->helpers;
        lock.unlock();
        job->run_all();
        lock.lock();
        jobs.remove(job);  // its indices are all taken
        if (--job->helpers == 0) idle.notify_all();
      }
    }

    const pid_t pid;
    std::mutex mutex;
    std::condition_variable wake, idle;
    std::list<Job*> jobs;
    bool stop = false;
    std::vector<std::thread> threads;
  };

  Workers& of_this_process() {
    Workers* workers = current_.load(std::memory_order_acquire);
    while (!workers || workers->pid != getpid()) {
      auto fresh = std::make_unique<Workers>(worker_count_);
      if (current_.compare_exchange_strong(workers, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
    }
    return *workers;
  }

  const int worker_count_;
  std::atomic<Workers*> current_{nullptr};
};

int default_threads() {
  if (const char* text = std::getenv("NVFP4CAL_NUM_THREADS")) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && value >= 1 && value <= 1024) return static_cast<int>(value);
  }
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed) > 0 ? CPU_COUNT(&allowed) : 1;
  const unsigned cores = std::thread::hardware_concurrency();
  return cores ? static_cast<int>(cores) : 1;
}

Execution::Execution() { set_threads(0); }

const Execution& Execution::process_default() {
  // Never destroyed: its threads may be waiting when the process exits.
  static const Execution* const execution = new Execution();
  return *execution;
}

void Execution::set_threads(int threads) {
  threads_ = threads > 0 ? threads : default_threads();
  pool_ = threads_ > 1 ? std::make_shared<ThreadPool>(threads_ - 1) : nullptr;
}

void Execution::set_runner(Runner runner, void* user) {
  runner_ = runner;
  runner_user_ = user;
}

void Execution::parallel_for(int64_t n, const std::function<void(int64_t)>& body) const {
  if (n <= 0) return;
  Job job(*this, n, body);
  if (runner_ && n > 1) {
    const auto task = [](void* data, int64_t index) { static_cast<Job*>(data)->run_one(index); };
    const int32_t result = runner_(runner_user_, &job, task, n);
    job.rethrow();
    if (result != 0) fail(Status::kCallback, "the runner returned %d", result);
    if (const int64_t done = job.finished.load(); done != n) {
      fail(Status::kCallback, "the runner ran %lld of %lld tasks", static_cast<long long>(done), static_cast<long long>(n));
    }
  } else if (pool_ && n > 1) {
    pool_->run(job);
  } else {
    job.run_all();
  }
  job.rethrow();
}

}  // namespace nvfp4cal
