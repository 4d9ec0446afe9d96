// Histogram of the largest magnitudes of blocks over bins whose edges are float32 numbers.
#include <algorithm>
#include <mutex>
#include <optional>
#include <type_traits>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/ops.h"
#include "cpu/targets.h"

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

// Asks for the 64-byte lines in which blocks [b, b + count) begin.
inline void ask_for(const char* data, int64_t b, int64_t count, int64_t stride) {
  for (int64_t line = 0; line < count * stride; line += 64) __builtin_prefetch(data + b * stride + line);
}

// Counts of one task. Neighbouring blocks often have the same bin and would wait for each other: they count in turns in four columns. Of no use if a
// block is not finite.
class Counts {
 public:
  Counts(const Binner& binner, int64_t bins) : binner_(binner), stride_(bins + 1), counts_(static_cast<size_t>(4 * stride_)) {}

  // next: what is read after these blocks, `stride` bytes a block; asked for while the processor counts.
  void add(const uint32_t* amaxes, int64_t n, const char* next, int64_t stride) {
    binner_.one_edge() ? add_all<true>(amaxes, n, next, stride) : add_all<false>(amaxes, n, next, stride);
  }
  void add_to(std::vector<int64_t>& sums) const {
    for (size_t i = 0; i < sums.size(); ++i) {
      for (size_t column = 0; column < 4; ++column) sums[i] += counts_[column * static_cast<size_t>(stride_) + i];
    }
  }

 private:
  template <bool one_edge>
  void add_all(const uint32_t* amaxes, int64_t n, const char* next, int64_t stride) {
    int64_t *const first = counts_.data(), *const second = first + stride_, *const third = second + stride_,
                   *const fourth = third + stride_;
    const auto add_one = [&](uint32_t amax, int64_t* column) { ++column[binner_.bin_of<one_edge>(amax)]; };
    int64_t b = 0;
    for (; b + 4 <= n; b += 4) {
      ask_for(next, b, 4, stride);
      add_one(amaxes[b], first);
      add_one(amaxes[b + 1], second);
      add_one(amaxes[b + 2], third);
      add_one(amaxes[b + 3], fourth);
    }
    for (; b < n; ++b) add_one(amaxes[b], first);
  }

  const Binner& binner_;
  const int64_t stride_;
  std::vector<int64_t> counts_;
};

// The same for a type of few numbers: a counter for each positive one, which are the float32 numbers with bits kFirst, kFirst + 2^kShift, .. below kEnd.
// Zeros, which do not count, and what is not finite are behind them. Bins are looked up at the end, so that a block costs a third; pays for kBlocks.
template <uint32_t kFirst, uint32_t kEnd, int kShift>
class NumberCounts {
  static constexpr uint32_t kNumbers = (kEnd - kFirst) >> kShift;

 public:
  static constexpr int64_t kBlocks = 8 * int64_t{kNumbers};

  NumberCounts(const Binner& binner, int64_t) : binner_(binner), counts_(kNumbers + 1) {}

  void add(const uint32_t* amaxes, int64_t n, const char* next, int64_t stride) {
    uint32_t* const counts = counts_.data();
    const auto add_one = [&](uint32_t amax) { ++counts[std::min((amax >> kShift) - (kFirst >> kShift), kNumbers)]; };
    int64_t b = 0;
    for (; b + 4 <= n; b += 4) {
      ask_for(next, b, 4, stride);
      add_one(amaxes[b]);
      add_one(amaxes[b + 1]);
      add_one(amaxes[b + 2]);
      add_one(amaxes[b + 3]);
    }
    for (; b < n; ++b) add_one(amaxes[b]);
  }
  void add_to(std::vector<int64_t>& sums) const {
    for (uint32_t i = 0; i < kNumbers; ++i) {
      if (counts_[i] > 0) sums[binner_.template bin_of<false>(kFirst + (i << kShift))] += counts_[i];
    }
  }

 private:
  const Binner& binner_;
  std::vector<uint32_t> counts_;
};
using Bf16Counts = NumberCounts<1u << 16, num::kInfBits, 16>;
using F16Counts = NumberCounts<(127u - 24u) << 23, (127u + 16u) << 23, 13>;

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

// The amaxes (bits) of blocks [first, first + count) of one row.
void row_amaxes(const Log2HistogramArgs& args, const Kernels& kernels, const Rows& rows, SpanReader& reader, int64_t first, int64_t count,
                uint32_t* amaxes) {
  const int64_t row = first / rows.blocks_per_row, column = first % rows.blocks_per_row * args.block;
  const int64_t n = std::min(count * args.block, rows.cols - column);
  const Span span = reader.read(row * rows.cols + column, n);
  const int64_t whole = n / args.block, rest = n % args.block;
  if (whole > 0) kernels.block_max_bits(span, args.block, whole, amaxes);
  if (rest > 0) amaxes[whole] = kernels.max_bits(span.at(whole * args.block), rest);
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
    TaskCounts counts(binner, args.bins);
    std::vector<uint32_t> amaxes(static_cast<size_t>(per_tile));
    SpanReader reader(*args.x);
    uint32_t largest = 0;
    const int64_t end = std::min(rows.blocks, (task + 1) * per_task);
    for (int64_t first = task * per_task; first < end;) {
      const int64_t row_end = (first / rows.blocks_per_row + 1) * rows.blocks_per_row;
      const int64_t count = std::min({end - first, row_end - first, per_tile});
      row_amaxes(args, kernels, rows, reader, first, count, amaxes.data());
      first += count;
      largest = std::max(largest, kernels.max_bits({Dtype::kF32, amaxes.data()}, count));
      counts.add(amaxes.data(), count, static_cast<const char*>(args.x->data) + first * stride, stride);
    }
    const std::lock_guard<std::mutex> lock(mutex);  // sums of integers and a maximum: the order does not matter
    counts.add_to(found.sums);
    found.largest = std::max(found.largest, largest);
  });
  return found;
}

Found count_blocks(const Execution& execution, const Log2HistogramArgs& args, const Rows& rows) {
  const auto by_numbers = [&](auto counts) {
    using NumbersOfType = typename decltype(counts)::type;
    const int64_t share = rows.blocks / execution.threads();
    // four tasks a thread balance; 32 bits count a task's blocks
    return share < NumbersOfType::kBlocks
               ? std::optional<Found>()
               : count_blocks<NumbersOfType>(execution, args, rows, std::clamp(share / 4, NumbersOfType::kBlocks, int64_t{1} << 31));
  };
  std::optional<Found> found;
  if (args.x->dtype == Dtype::kBf16) found = by_numbers(std::type_identity<Bf16Counts>());
  if (args.x->dtype == Dtype::kF16) found = by_numbers(std::type_identity<F16Counts>());
  // As many tasks as pay for counts of their own.
  return found ? *found : count_blocks<Counts>(execution, args, rows, std::max(16 * (kChunkElements / args.block), 16 * args.bins));
}

}  // namespace

void log2_histogram(const Execution& execution, const Log2HistogramArgs& args) {
  const Found found = count_blocks(execution, args, Rows(args));
  if (found.largest >= num::kInfBits) fail_non_finite(*args.x, first_non_finite(*args.x, 0, args.x->elements()), "x");
  for (int64_t i = 0; i < args.bins; ++i) args.counts[i] += found.sums[static_cast<size_t>(i)];
  *args.largest = std::max(*args.largest, num::from_bits(found.largest));
}

}  // namespace nvfp4cal::cpu
