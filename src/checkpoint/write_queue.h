// Finished batches on their way into one file. The system lets one thread at a time write to a file, and others that try spin meanwhile: here they
// leave their batch to the one that writes and go on computing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace nvfp4cal::checkpoint {

// Their order is nobody's concern. Batch: can be moved; is destroyed when it has been written (or dropped), by a thread that is inside put().
template <class Batch>
class WriteQueue {
 public:
  // room: how many batches may wait, at least 1. write(batch): one call at a time, each on a thread that is inside put().
  WriteQueue(size_t room, std::function<void(Batch&)> write) : room_(room), write_(std::move(write)) { waiting_.reserve(room); }

  WriteQueue(const WriteQueue&) = delete;
  WriteQueue& operator=(const WriteQueue&) = delete;

  // Any thread. If nobody writes, writes the batch and what others leave meanwhile; else leaves it to the one that writes, and sleeps first while there
  // is no room. So all is written when all calls have returned. Throws what write() throws, on the thread that called it; what waits then or comes
  // later is dropped.
  void put(Batch batch) {
    if (!take_turn(batch)) return;
    try {
      {
        Batch first(std::move(batch));
        write_(first);
      }
      while (std::optional<Batch> left = next()) write_(*left);
    } catch (...) {
      drop_all();
      throw;
    }
  }

 private:
  // False: the batch is in the queue, or to be dropped.
  bool take_turn(Batch& batch) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return !writing_ || waiting_.size() < room_; });
    if (failed_) return false;
    if (!writing_) return writing_ = true;
    waiting_.push_back(std::move(batch));
    return false;
  }

  // Ends the turn if nothing waits.
  std::optional<Batch> next() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (waiting_.empty()) {
      writing_ = false;
      changed_.notify_all();  // those that wanted room and have not run since
      return std::nullopt;
    }
    std::optional<Batch> last(std::move(waiting_.back()));
    waiting_.pop_back();
    changed_.notify_one();
    return last;
  }

  void drop_all() {
    std::vector<Batch> dropped;  // outlives the lock
    const std::lock_guard<std::mutex> lock(mutex_);
    dropped.swap(waiting_);
    failed_ = true;
    writing_ = false;
    changed_.notify_all();
  }

  const size_t room_;
  const std::function<void(Batch&)> write_;
  std::mutex mutex_;
  std::condition_variable changed_;  // there is room, or nobody writes any more
  std::vector<Batch> waiting_;
  bool writing_ = false;
  bool failed_ = false;
};

}  // namespace nvfp4cal::checkpoint
