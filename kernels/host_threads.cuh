// Which thread of a device the host's loops stand for at a time. Builds with the thread sanitizer give each a stack and a history of its own, which meets
// those of others at barriers alone: what one thread writes and another reads without a barrier in between is a race there, in whatever order the loops ran.
// Other builds just run them.
#pragma once

#include <cstdint>
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#include <ucontext.h>

#include <memory>
#endif

namespace nvfp4cal::cuda {

#if defined(__SANITIZE_THREAD__)

class HostThread {
 public:
  // body(number) after all that the caller has done so far.
  template <class Body>
  __attribute__((no_sanitize_thread)) void run(int64_t number, const Body& body) {
    number_ = number;
    body_ = &body;
    call_ = [](const void* what, int64_t which) { (*static_cast<const Body*>(what))(which); };
    start();
  }
  // The caller goes on after all that was run.
  void join() { __tsan_acquire(&done_); }

 private:
  static constexpr size_t kStack = 128 * 1024;

  // These are of no thread's history: what they read and write is the loops' own.
  __attribute__((no_sanitize_thread)) void start() {
    if (!fiber_) {
      fiber_ = __tsan_create_fiber(0);
      stack_.reset(new char[kStack]);
    }
    caller_ = __tsan_get_current_fiber();
    ucontext_t here, there;
    getcontext(&there);
    there.uc_stack.ss_sp = stack_.get();
    there.uc_stack.ss_size = kStack;
    there.uc_link = &here;
    const uintptr_t self = reinterpret_cast<uintptr_t>(this);  // in two parts: arguments are of int
    makecontext(&there, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
    __tsan_release(&begun_);
    __tsan_switch_to_fiber(fiber_, __tsan_switch_to_fiber_no_sync);
    swapcontext(&here, &there);
  }
  __attribute__((no_sanitize_thread)) static void enter(unsigned high, unsigned low) {
    HostThread& self = *reinterpret_cast<HostThread*>(static_cast<uintptr_t>(high) << 32 | low);
    __tsan_acquire(&self.begun_);
    self.call_(self.body_, self.number_);
    __tsan_release(&self.done_);
    __tsan_switch_to_fiber(self.caller_, __tsan_switch_to_fiber_no_sync);
  }

  void* fiber_ = nullptr;
  std::unique_ptr<char[]> stack_{};
  int64_t number_ = 0;
  const void* body_ = nullptr;
  void (*call_)(const void* what, int64_t which) = nullptr;
  void* caller_ = nullptr;
  char begun_ = 0, done_ = 0;
};

#else

struct HostThread {
  template <class Body>
  void run(int64_t number, const Body& body) {
    body(number);
  }
  void join() {}
};

#endif

// Those of one thread block. block and warps: what all threads of it, or of a warp, decide alike, which the host does once.
struct HostThreads {
  static constexpr int kMost = 1024, kWarps = kMost / 32;
  HostThread block, warps[kWarps], threads[kMost];

  // Two take turns: nothing orders neighbouring thread blocks.
  static HostThreads& of(int64_t block) {
    static thread_local HostThreads all[2];
    return all[block % 2];
  }
  // body(block) for all of a grid.
  template <class Body>
  static void each_block(int64_t blocks, bool backwards, Body&& body) {
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t block = backwards ? blocks - 1 - i : i;
      of(block).block.run(block, body);
    }
    for (int64_t i = 0; i < 2; ++i) of(i).block.join();
  }

  // body(first) .. body(first + count - 1), then a barrier.
  template <class Body>
  void each(int first, int count, bool backwards, Body&& body) {
    for (int i = 0; i < count; ++i) {
      const int thread = first + (backwards ? count - 1 - i : i);
      threads[thread].run(thread, body);
    }
    for (int i = 0; i < count; ++i) threads[first + i].join();
  }
};

}  // namespace nvfp4cal::cuda
