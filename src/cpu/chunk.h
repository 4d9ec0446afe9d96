// Cutting tensors into chunks of fixed size, and making any chunk contiguous float32, bfloat16 or float16.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.h"
#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

// Elements a task works on: large enough to pay for a thread's wake-up, small enough to balance and to stay in the second-level cache.
inline constexpr int64_t kChunkElements = 65536;
// Elements a task only reads.
inline constexpr int64_t kReadElements = 16 * kChunkElements;
// Elements that the steps of a task (search, pack, decode) hand to each other: first-level cache.
inline constexpr int64_t kTileElements = 4096;

// Consecutive blocks of one slice.
struct BlockRange {
  int64_t slice;
  int64_t first, count;  // blocks, over the whole tensor
};

// Chunks of a tensor of slices * blocks_per_slice blocks; no chunk crosses a slice, and the cut depends on the shape alone.
class BlockChunks {
 public:
  BlockChunks(int64_t blocks, int64_t slices, int block);
  int64_t count() const { return slices_ * chunks_per_slice_; }
  BlockRange operator[](int64_t chunk) const;

 private:
  int64_t slices_, blocks_per_slice_, blocks_per_chunk_, chunks_per_slice_;
};

// Reads elements [begin, begin + n) of a view: where they lie if they are contiguous and of a dtype that kernels read, else
// as float32 in a buffer of this reader's. float64 is rounded to float32 (values beyond its range become infinite).
class SpanReader {
 public:
  explicit SpanReader(const TensorView& view) : view_(view) {}
  Span read(int64_t begin, int64_t n);
  // So many elements are worth reading at a time where they are only read: what needs no buffer is best read at places far apart.
  int64_t most() const { return needs_buffer() ? kChunkElements : kReadElements; }

 private:
  bool needs_buffer() const;

  const TensorView& view_;
  std::vector<float> buffer_;
};

// The same for bytes.
class ByteReader {
 public:
  explicit ByteReader(const TensorView& view) : view_(view) {}
  const uint8_t* read(int64_t begin, int64_t n);

 private:
  const TensorView& view_;
  std::vector<uint8_t> buffer_;
};

// The flat index of the first element of [begin, begin + n) that is not finite, -1 if there is none.
int64_t first_non_finite(const TensorView& view, int64_t begin, int64_t n);

// Throws kNotFinite for flat index i of the tensor that messages call `name`.
[[noreturn]] void fail_non_finite(const TensorView& view, int64_t index, const char* name);

}  // namespace nvfp4cal::cpu
