// For code that makes threads inside a host's process.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace nvfp4cal {

// Threads made while one of these lives take no signals: a host's handlers run on the host's threads.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace nvfp4cal
