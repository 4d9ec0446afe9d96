// Largest magnitude per tensor, per group of elements (axes) or per block.
#include <algorithm>
#include <mutex>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/load.h"
#include "cpu/ops.h"
#include "cpu/targets.h"

namespace nvfp4cal::cpu {

namespace {

// Maxima of consecutive elements that all belong to one group: the longest trailing dimensions whose axes are reduced.
int64_t group_run(const AmaxArgs& args) {
  int64_t run = 1;
  for (int d = args.x->ndim - 1; d >= 0 && (args.group_strides[d] == 0 || args.x->shape[d] == 1); --d) run *= args.x->shape[d];
  return run;
}

int64_t group_of(const AmaxArgs& args, int64_t flat) {
  int64_t group = 0;
  for (int d = args.x->ndim - 1; d >= 0; --d) {
    group += flat % args.x->shape[d] * args.group_strides[d];
    flat /= args.x->shape[d];
  }
  return group;
}

// Adds elements [begin, end) to the maxima (bits) of their groups.
void add_range(const AmaxArgs& args, const Kernels& kernels, int64_t begin, int64_t end, std::vector<uint32_t>& maxima) {
  SpanReader reader(*args.x);
  const int64_t run = group_run(args), most = reader.most();
  while (begin < end) {
    const int64_t stop = std::min({end, (begin / run + 1) * run, begin + most});
    const Span span = reader.read(begin, stop - begin);
    uint32_t& maximum = maxima[static_cast<size_t>(group_of(args, begin))];
    maximum = std::max(maximum, kernels.max_bits(span, stop - begin));
    begin = stop;
  }
}

// The last axis is kept: neighbouring elements belong to different groups.
void add_columns(const AmaxArgs& args, int64_t begin, int64_t end, std::vector<uint32_t>& maxima) {
  SpanReader reader(*args.x);
  const int64_t cols = args.x->last();
  const int64_t step = args.group_strides[args.x->ndim - 1];
  while (begin < end) {
    const int64_t stop = std::min(end, (begin / cols + 1) * cols);
    const Span span = reader.read(begin, stop - begin);
    int64_t group = group_of(args, begin);
    for (int64_t i = 0; i < stop - begin; ++i, group += step) {
      uint32_t& maximum = maxima[static_cast<size_t>(group)];
      maximum = std::max(maximum, num::bits_of(load_element(span, i)) & num::kAbsMask);
    }
    begin = stop;
  }
}

void check_finite(const TensorView& x, const std::vector<uint32_t>& maxima) {
  if (std::none_of(maxima.begin(), maxima.end(), [](uint32_t bits) { return bits >= num::kInfBits; })) return;
  fail_non_finite(x, first_non_finite(x, 0, x.elements()), "x");
}

void merge(const std::vector<uint32_t>& maxima, float* out) {
  for (size_t g = 0; g < maxima.size(); ++g) out[g] = std::max(out[g], num::from_bits(maxima[g]));
}

void amax_blocks(const Execution& execution, const AmaxArgs& args) {
  const Kernels& kernels = kernels_of(execution);
  std::vector<uint32_t> maxima(static_cast<size_t>(args.groups));
  const BlockChunks chunks(args.groups, 1, args.block);
  execution.parallel_for(chunks.count(), [&](int64_t c) {
    const BlockRange range = chunks[c];
    SpanReader reader(*args.x);
    const Span span = reader.read(range.first * args.block, range.count * args.block);
    kernels.block_max_bits(span, args.block, range.count, maxima.data() + range.first);
  });
  check_finite(*args.x, maxima);
  merge(maxima, args.out);
}

}  // namespace

void amax(const Execution& execution, const AmaxArgs& args) {
  if (args.block != 0) return amax_blocks(execution, args);
  const Kernels& kernels = kernels_of(execution);
  const int64_t n = args.x->elements();
  const bool columns = args.x->ndim > 0 && args.x->last() > 1 && args.group_strides[args.x->ndim - 1] != 0;
  // Each task has maxima of its own: as many tasks as pay for that, and 16 chunks a task at most.
  const int64_t per_task = std::max(kReadElements, 16 * args.groups);
  std::vector<uint32_t> maxima(static_cast<size_t>(args.groups));
  std::mutex mutex;
  execution.parallel_for((n + per_task - 1) / per_task, [&](int64_t task) {
    std::vector<uint32_t> mine(maxima.size());
    const int64_t begin = task * per_task, end = std::min(n, begin + per_task);
    if (columns) {
      add_columns(args, begin, end, mine);
    } else {
      add_range(args, kernels, begin, end, mine);
    }
    const std::lock_guard<std::mutex> lock(mutex);  // a maximum: the order does not matter
    for (size_t g = 0; g < mine.size(); ++g) maxima[g] = std::max(maxima[g], mine[g]);
  });
  check_finite(*args.x, maxima);
  merge(maxima, args.out);
}

}  // namespace nvfp4cal::cpu
