// Histogram of the largest magnitudes of blocks over bins whose edges are float32 numbers.
#include <string.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <type_traits>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/ops.h"
#include "cpu/targets.h"
#include "num/half.h"

namespace nvfp4cal::cpu {

namespace {

// Finds bins: a table over the exponent and the first mantissa bits leaves one comparison where no cell has two edges. Numbers are looked up by their bits
// less one, so that zero, which is not counted, is the last of all: it has a bin of its own after the others.
class Binner {
 public:
  explicit Binner(const Log2HistogramArgs& args) : edges_(args.edges, args.edges + args.bins - 1), cells_(kCellOfZero + 1) {
    for (uint32_t& edge : edges_) --edge;
    uint32_t first = 0;
    for (uint32_t cell = 0; cell <= kCells; ++cell) {
      while (first < edges_.size() && edges_[first] <= cell << kShift) ++first;
      cells_[cell] = {first, first == edges_.size() ? ~0u : edges_[first]};
      one_edge_ = one_edge_ && (cell == 0 || first - cells_[cell - 1].first <= 1);
    }
    cells_[kCellOfZero] = {static_cast<uint32_t>(args.bins - 1), ~0u};  // all of whose numbers are above its edge
  }

  bool one_edge() const { return one_edge_; }
  // bins for zero.
  template <bool one_edge>
  uint32_t bin_of(uint32_t bits) const {
    const uint32_t number = bits - 1;
    const Cell* const cell = cells_.data() + (number >> kShift);
    if (one_edge) return cell->first + (number >= cell->edge ? 1 : 0);
    if (bits == 0) return cell->first + 1;
    return static_cast<uint32_t>(std::upper_bound(edges_.begin() + cell[0].first, edges_.begin() + cell[1].first, number) - edges_.begin());
  }

 private:
  static constexpr int kShift = 19;
  static constexpr uint32_t kCells = 0x80000000u >> kShift, kCellOfZero = ~0u >> kShift;  // NaN too
  struct Cell {
    uint32_t first;  // edges at or below the cell's first value
    uint32_t edge;   // the next one
  };
  std::vector<uint32_t> edges_;
  std::vector<Cell> cells_;
  bool one_edge_ = true;
};

// A tile of blocks is read, then counted while the next one is asked for: a page, beyond which the processor does not read ahead on its own.
constexpr int64_t kHistogramTileBytes = 4096;

// Asks for the 64-byte lines in which blocks [b, b + count) begin: into all caches (locality 3), or from the second level on (2), which takes more
// requests at a time.
template <int locality>
inline void ask_for(const char* data, int64_t b, int64_t count, int64_t stride) {
  for (int64_t line = 0; line < count * stride; line += 64) __builtin_prefetch(data + b * stride + line, 0, locality);
}

// Counts of one task, of no use if a block is not finite, and the largest amax (bits). Neighbouring blocks often have the same bin and would wait for each
// other: they count in turns in four columns.
class Counts {
 public:
  using Amax = uint32_t;  // float32 bits

  Counts(const Binner& binner, Dtype, int64_t bins) : binner_(binner), stride_(bins + 1), counts_(static_cast<size_t>(4 * stride_)) {}

  static void amaxes(const Kernels& kernels, Span x, int block, int64_t blocks, uint32_t* out) {
    kernels.block_max_bits(x, block, blocks, out);
  }
  // next: what is read after these blocks, `stride` bytes a block; asked for while the processor counts.
  void add(const Kernels& kernels, const uint32_t* amaxes, int64_t n, const char* next, int64_t stride) {
    largest_ = std::max(largest_, kernels.max_bits({Dtype::kF32, amaxes}, n));
    binner_.one_edge() ? add_all<true>(amaxes, n, next, stride) : add_all<false>(amaxes, n, next, stride);
  }
  uint32_t add_to(std::vector<int64_t>& sums) const {
    for (size_t i = 0; i < sums.size(); ++i) {
      for (size_t column = 0; column < 4; ++column) sums[i] += counts_[column * static_cast<size_t>(stride_) + i];
    }
    return largest_;
  }

 private:
  template <bool one_edge>
  void add_all(const uint32_t* amaxes, int64_t n, const char* next, int64_t stride) {
    int64_t *const first = counts_.data(), *const second = first + stride_, *const third = second + stride_,
                   *const fourth = third + stride_;
    const auto add_one = [&](uint32_t amax, int64_t* column) { ++column[binner_.bin_of<one_edge>(amax)]; };
    int64_t b = 0;
    for (; b + 4 <= n; b += 4) {
      ask_for<3>(next, b, 4, stride);
      add_one(amaxes[b], first);
      add_one(amaxes[b + 1], second);
      add_one(amaxes[b + 2], third);
      add_one(amaxes[b + 3], fourth);
    }
    for (; b < n; ++b) add_one(amaxes[b], first);
  }

  const Binner& binner_;
  const int64_t stride_;
  uint32_t largest_ = 0;
  std::vector<int64_t> counts_;
};

// The same for half types: a counter for each number that an amax can be. Bins are looked up, and the largest is found, at the end: two instructions a
// block are left. Pays for kBlocks.
class NumberCounts {
  static constexpr uint32_t kNumbers = 0x8000;

 public:
  using Amax = uint16_t;
  static constexpr int64_t kBlocks = 8 * int64_t{kNumbers};

  NumberCounts(const Binner& binner, Dtype dtype, int64_t) : binner_(binner), dtype_(dtype), counts_(kNumbers) {}

  static void amaxes(const Kernels& kernels, Span x, int block, int64_t blocks, uint16_t* out) {
    kernels.block_max_numbers(x, block, blocks, out);
  }
  void add(const Kernels&, const uint16_t* amaxes, int64_t n, const char* next, int64_t stride) {
    uint32_t* const counts = counts_.data();
    int64_t b = 0;
    for (; b + 4 <= n; b += 4) {
      ask_for<2>(next, b, 4, stride);
      ++counts[amaxes[b]];
      ++counts[amaxes[b + 1]];
      ++counts[amaxes[b + 2]];
      ++counts[amaxes[b + 3]];
    }
    for (; b < n; ++b) ++counts[amaxes[b]];
  }
  uint32_t add_to(std::vector<int64_t>& sums) const {
    uint32_t largest = 0;
    for (uint32_t number = 1; number < kNumbers; ++number) {
      if (counts_[number] == 0) continue;
      const auto half = static_cast<uint16_t>(number);
      largest =
          num::bits_of(dtype_ == Dtype::kBf16 ? num::bf16_to_f32(half) : num::f16_to_f32(half));  // ascending, what is not finite last
      if (largest < num::kInfBits) sums[binner_.template bin_of<false>(largest)] += counts_[number];
    }
    return largest;
  }

 private:
  const Binner& binner_;
  const Dtype dtype_;
  std::vector<uint32_t> counts_;
};

// Blocks of rows: each row's last one may be short. A tensor whose rows are whole blocks is one row.
struct Rows {
  explicit Rows(const Log2HistogramArgs& args) {
    const int64_t n = args.x->elements();
    cols = args.x->last() % args.block == 0 ? n : args.x->last();
    blocks_per_row = (cols + args.block - 1) / args.block;
    blocks = n == 0 ? 0 : n / cols * blocks_per_row;
  }
  int64_t cols, blocks_per_row, blocks;
};

// The amaxes of blocks [first, first + count) of one row.
template <class TaskCounts>
void row_amaxes(const Log2HistogramArgs& args, const Kernels& kernels, const Rows& rows, SpanReader& reader, int64_t first, int64_t count,
                typename TaskCounts::Amax* amaxes) {
  const int64_t row = first / rows.blocks_per_row, column = first % rows.blocks_per_row * args.block;
  const int64_t n = std::min(count * args.block, rows.cols - column);
  const Span span = reader.read(row * rows.cols + column, n);
  const int64_t whole = n / args.block, rest = n % args.block;
  if (whole > 0) TaskCounts::amaxes(kernels, span, args.block, whole, amaxes);
  if (rest == 0) return;
  char last[32 * sizeof(float)] = {};  // of the longest block
  memcpy(last, span.at(whole * args.block).data, static_cast<size_t>(rest) * dtype_size(span.dtype));
  TaskCounts::amaxes(kernels, {span.dtype, last}, args.block, 1, amaxes + whole);
}

struct Found {
  std::vector<int64_t> sums;
  uint32_t largest = 0;  // bits
};

// By tasks of per_task blocks, each with counts of its own.
template <class TaskCounts>
Found count_blocks(const Execution& execution, const Log2HistogramArgs& args, const Rows& rows, int64_t per_task) {
  const Kernels& kernels = kernels_of(execution);
  const Binner binner(args);
  const int64_t block_bytes = args.block * static_cast<int64_t>(dtype_size(args.x->dtype));
  const int64_t per_tile = std::max<int64_t>(kHistogramTileBytes / block_bytes, 1);
  const int64_t stride = args.x->contiguous && args.x->dtype != Dtype::kF64 ? block_bytes : 0;
  Found found{std::vector<int64_t>(static_cast<size_t>(args.bins))};
  std::mutex mutex;
  execution.parallel_for((rows.blocks + per_task - 1) / per_task, [&](int64_t task) {
    TaskCounts counts(binner, args.x->dtype, args.bins);
    std::vector<typename TaskCounts::Amax> amaxes(static_cast<size_t>(per_tile));
    SpanReader reader(*args.x);
    const int64_t end = std::min(rows.blocks, (task + 1) * per_task);
    for (int64_t first = task * per_task; first < end;) {
      const int64_t row_end = (first / rows.blocks_per_row + 1) * rows.blocks_per_row;
      const int64_t count = std::min({end - first, row_end - first, per_tile});
      row_amaxes<TaskCounts>(args, kernels, rows, reader, first, count, amaxes.data());
      first += count;
      counts.add(kernels, amaxes.data(), count, static_cast<const char*>(args.x->data) + first * stride, stride);
    }
    const std::lock_guard<std::mutex> lock(mutex);  // sums of integers and a maximum: the order does not matter
    found.largest = std::max(found.largest, counts.add_to(found.sums));
  });
  return found;
}

Found count_blocks(const Execution& execution, const Log2HistogramArgs& args, const Rows& rows) {
  const int64_t share = rows.blocks / execution.threads();
  if ((args.x->dtype == Dtype::kBf16 || args.x->dtype == Dtype::kF16) && share >= NumberCounts::kBlocks) {
    // four tasks a thread balance; 32 bits count a task's blocks
    return count_blocks<NumberCounts>(execution, args, rows, std::clamp(share / 4, NumberCounts::kBlocks, int64_t{1} << 31));
  }
  // As many tasks as pay for counts of their own.
  return count_blocks<Counts>(execution, args, rows, std::max(16 * (kChunkElements / args.block), 16 * args.bins));
}

}  // namespace

void log2_histogram(const Execution& execution, const Log2HistogramArgs& args) {
  const Found found = count_blocks(execution, args, Rows(args));
  if (found.largest >= num::kInfBits) fail_non_finite(*args.x, first_non_finite(*args.x, 0, args.x->elements()), "x");
  for (int64_t i = 0; i < args.bins; ++i) args.counts[i] += found.sums[static_cast<size_t>(i)];
  *args.largest = std::max(*args.largest, num::from_bits(found.largest));
}

}  // namespace nvfp4cal::cpu
