// What a thread of a pass works in, batch after batch.
#pragma once

#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "checkpoint/placed_memory.h"
#include "checkpoint/tensor_pass.h"

namespace nvfp4cal::checkpoint {

// What a thread needs for a batch of pieces.
struct TensorPass::Buffers {
  // Bytes that are to be written. They are put together where they lie side by side in the file and in memory.
  struct Writes {
    struct Write {
      int64_t at;
      const char* data;
      int64_t bytes;
    };
    std::vector<Write> all;

    void add(int64_t at, const void* data, int64_t bytes) {
      const char* const begin = static_cast<const char*>(data);
      if (!all.empty() && all.back().at + all.back().bytes == at && all.back().data + all.back().bytes == begin) {
        all.back().bytes += bytes;
      } else {
        all.push_back({at, begin, bytes});
      }
    }
    void add_to_checksum(OutputFile& target) const {
      for (const Write& write : all) target.add_to_checksum(write.at, write.data, write.bytes);
    }
    void write(File& target) const {
      for (const Write& write : all) target.write_at(write.at, write.data, write.bytes);
    }
  };

  // Forgets the last batch, which may have failed, and makes room for the codes and scales of n elements in so many pieces.
  void begin(int64_t n, size_t pieces_of_n) {
    code_writes.all.clear();
    scale_writes.all.clear();
    codes.begin(n / 2, pieces_of_n);
    scales.begin(n / kBlock, pieces_of_n);
  }

  std::vector<const char*> pieces;  // of the batch
  PlacedMemory<char> data;
  PlacedMemory<uint8_t> codes, scales;
  std::vector<char> columns;
  std::vector<uint8_t> max_scales;
  Writes code_writes, scale_writes;
  std::vector<float> floats, amaxes;  // amaxes: of blocks
};

// Buffers of the pass that go back to it, wherever they were handed on to.
class TensorPass::BorrowedBuffers {
 public:
  explicit BorrowedBuffers(TensorPass& pass) : pass_(pass) {
    const std::lock_guard<std::mutex> lock(pass.mutex_);
    if (pass.idle_.empty()) {
      buffers_ = std::make_unique<Buffers>();
    } else {
      buffers_ = std::move(pass.idle_.back());
      pass.idle_.pop_back();
    }
  }
  BorrowedBuffers(BorrowedBuffers&&) = default;
  ~BorrowedBuffers() {
    if (!buffers_) return;
    const std::lock_guard<std::mutex> lock(pass_.mutex_);
    try {
      pass_.idle_.push_back(std::move(buffers_));
    } catch (const std::bad_alloc&) {  // freed instead
    }
  }
  Buffers& operator*() { return *buffers_; }

 private:
  TensorPass& pass_;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace nvfp4cal::checkpoint
