// Histogram of the largest magnitudes of blocks over bins whose edges are float32 numbers.
#include <algorithm>
#include <mutex>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/ops.h"
#include "cpu/targets.h"

namespace nvfp4cal::cpu {

namespace {

// Finds bins: a table over the exponent and the first mantissa bits leaves one comparison where no cell has two edges.
class Binner {
 public:
  explicit Binner(const Log2HistogramArgs& args) : edges_(args.edges, args.edges + args.bins - 1), first_(kCells + 1) {
    for (uint32_t cell = 0; cell <= kCells; ++cell) {
      first_[cell] = static_cast<int32_t>(std::upper_bound(edges_.begin(), edges_.end(), cell << kShift) - edges_.begin());
      one_edge_ = one_edge_ && (cell == 0 || first_[cell] - first_[cell - 1] <= 1);
    }
    edges_.push_back(~0u);  // read, never reached, behind the last edge
  }

  size_t operator()(uint32_t bits) const {
    const uint32_t cell = bits >> kShift;
    const size_t first = static_cast<size_t>(first_[cell]);
    if (one_edge_) return first + (bits >= edges_[first] ? 1 : 0);
    const auto begin = edges_.begin();
    return static_cast<size_t>(std::upper_bound(begin + first_[cell], begin + first_[cell + 1], bits) - begin);
  }

 private:
  static constexpr int kShift = 19;
  static constexpr uint32_t kCells = num::kInfBits >> kShift;
  std::vector<uint32_t> edges_;
  std::vector<int32_t> first_;  // edges at or below the cell's first value
  bool one_edge_ = true;
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

}  // namespace

void log2_histogram(const Execution& execution, const Log2HistogramArgs& args) {
  const Kernels& kernels = kernels_of(execution);
  const Rows rows(args);
  const Binner bin_of(args);
  const int64_t per_chunk = kChunkElements / args.block;
  // Each task has counts of its own: as many tasks as pay for that.
  const int64_t per_task = std::max(16 * per_chunk, 16 * args.bins);
  std::vector<int64_t> counts(static_cast<size_t>(args.bins));
  uint32_t largest = 0;
  std::mutex mutex;
  execution.parallel_for((rows.blocks + per_task - 1) / per_task, [&](int64_t task) {
    std::vector<int64_t> mine(counts.size());
    std::vector<uint32_t> amaxes(static_cast<size_t>(per_chunk));
    SpanReader reader(*args.x);
    uint32_t my_largest = 0;
    const int64_t end = std::min(rows.blocks, (task + 1) * per_task);
    for (int64_t first = task * per_task; first < end;) {
      const int64_t row_end = (first / rows.blocks_per_row + 1) * rows.blocks_per_row;
      const int64_t count = std::min({end - first, row_end - first, per_chunk});
      row_amaxes(args, kernels, rows, reader, first, count, amaxes.data());
      for (int64_t b = 0; b < count; ++b) {
        const uint32_t amax = amaxes[static_cast<size_t>(b)];
        my_largest = std::max(my_largest, amax);
        if (amax != 0 && amax < num::kInfBits) ++mine[bin_of(amax)];
      }
      first += count;
    }
    const std::lock_guard<std::mutex> lock(mutex);  // sums of integers and a maximum: the order does not matter
    for (size_t i = 0; i < mine.size(); ++i) counts[i] += mine[i];
    largest = std::max(largest, my_largest);
  });
  if (largest >= num::kInfBits) fail_non_finite(*args.x, first_non_finite(*args.x, 0, args.x->elements()), "x");
  for (int64_t i = 0; i < args.bins; ++i) args.counts[i] += counts[static_cast<size_t>(i)];
  *args.largest = std::max(*args.largest, num::from_bits(largest));
}

}  // namespace nvfp4cal::cpu
