// A file that several threads write, with the checksum of what it holds.
#pragma once

#include <atomic>

#include "checkpoint/checksum.h"
#include "checkpoint/file.h"

namespace nvfp4cal::checkpoint {

class OutputFile {
 public:
  explicit OutputFile(File file) : file_(std::move(file)) {}

  // Any thread. Each byte is written once.
  void write_at(int64_t offset, const void* data, int64_t n) {
    add_to_checksum(offset, data, n);
    file_.write_at(offset, data, n);
  }
  // Of bytes that another thread writes to file(). Any thread.
  void add_to_checksum(int64_t offset, const void* data, int64_t n) {
    sum_.fetch_add(nvfp4cal::checkpoint::checksum(data, n, offset), std::memory_order_relaxed);
  }
  File& file() { return file_; }
  uint64_t checksum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  File file_;
  std::atomic<uint64_t> sum_{0};
};

}  // namespace nvfp4cal::checkpoint
