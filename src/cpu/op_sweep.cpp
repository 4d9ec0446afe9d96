// The scale search over a tensor, and the weights it may have.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/load.h"
#include "cpu/ops.h"
#include "cpu/sweep_chunk.h"
#include "cpu/targets.h"

namespace nvfp4cal::cpu {

namespace {

// Slices smaller than this do not pay for the tables of an integer ladder.
constexpr int64_t kLeastIntegerElements = 16384;

// Rows of weights, each block's times a power of two that keeps the sums in range (docs/numerics.md 3).
void normalize_weights(Span weights, int block, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, out += block) {
    for (int i = 0; i < block; ++i) out[i] = load_element(weights, b * block + i);
    const float prescale = weight_prescale(out, block);
    for (int i = 0; i < block; ++i) out[i] *= prescale;
  }
}

bool is_weight(float w) { return w > 0.0f && num::is_finite(w); }

[[noreturn]] void fail_weight(const TensorView& weights) {
  SpanReader reader(weights);
  for (int64_t i = 0;; ++i) {
    const float w = load_element(reader.read(i, 1), 0);
    if (!is_weight(w)) {
      fail(Status::kInvalidArgument, "weights[%lld] is %g, expected a positive finite value", static_cast<long long>(i),
           static_cast<double>(w));
    }
  }
}

}  // namespace

void check_weights(const Execution& execution, const SweepArgs& args) {
  if (!args.weights) return;
  const TensorView& weights = *args.weights;
  const int64_t n = weights.elements();
  std::atomic<bool> good{true};
  execution.parallel_for((n + kChunkElements - 1) / kChunkElements, [&](int64_t c) {
    const int64_t begin = c * kChunkElements, count = std::min(kChunkElements, n - begin);
    SpanReader reader(weights);
    const Span span = reader.read(begin, count);
    for (int64_t i = 0; i < count; ++i) {
      if (!is_weight(load_element(span, i))) good = false;
    }
  });
  if (!good) fail_weight(weights);
}

ChunkSweeper::ChunkSweeper(const SweepArgs& args, const Kernels& kernels) : args_(args), kernels_(kernels) {
  const bool shares_weights = args.weights && args.weights->elements() != args.x->elements();  // one row for all
  const bool integer = kernels.integer_sweep && args.block == 16 && (!args.weights || shares_weights) && !args.has_window &&
                       args.x->elements() / std::max<int64_t>(args.slices, 1) >= kLeastIntegerElements;
  plans_.reserve(static_cast<size_t>(args.slices));
  for (int64_t s = 0; s < args.slices; ++s) {
    const float global_amax = args.global_amax[s];
    // a zero slice has no search; its plan is never read
    SweepPlan plan(global_amax > 0.0f ? global_amax : 1.0f, args.block, args.normalization);
    if (args.weights) plan.set_weighted();
    if (args.has_window) plan.set_window(args.window_lo, args.window_hi);
    if (integer) plan.set_integer_ladder();
    plans_.push_back(plan);
  }
  if (shares_weights) {
    const int64_t cols = args.weights->elements();
    shared_weights_.resize(static_cast<size_t>(cols));
    SpanReader reader(*args.weights);
    normalize_weights(reader.read(0, cols), args.block, cols / args.block, shared_weights_.data());
    if (integer) {
      weight_roots_.resize(shared_weights_.size());
      weight_roots(shared_weights_.data(), cols, weight_roots_.data());
    }
  }
}

bool ChunkSweeper::sweep(const BlockRange& range, Span x, std::vector<float>& scratch, uint8_t* codes) const {
  if (args_.global_amax[range.slice] == 0.0f) {
    std::memset(codes, num::kE4m3One, static_cast<size_t>(range.count));
    return kernels_.max_bits(x, range.count * args_.block) < num::kInfBits;
  }
  const SweepPlan& plan = plans_[static_cast<size_t>(range.slice)];
  if (!args_.weights && plan.integer_ladder) return kernels_.integer_sweep(plan, x, range.count, nullptr, codes);
  if (!args_.weights) return kernels_.sweep(plan, x, range.count, nullptr, codes);
  BlockWeights weights;
  if (!shared_weights_.empty()) {
    weights = {shared_weights_.data(), range.first, static_cast<int64_t>(shared_weights_.size()) / args_.block, weight_roots_.data()};
    if (plan.integer_ladder) return kernels_.integer_sweep(plan, x, range.count, &weights, codes);
  } else {
    const int64_t n = range.count * args_.block;
    scratch.resize(static_cast<size_t>(n));
    SpanReader reader(*args_.weights);
    normalize_weights(reader.read(range.first * args_.block, n), args_.block, range.count, scratch.data());
    weights = {scratch.data(), 0, range.count};
  }
  return kernels_.sweep(plan, x, range.count, &weights, codes);
}

void sweep(const Execution& execution, const SweepArgs& args) {
  const int64_t blocks = args.x->elements() / args.block;
  check_weights(execution, args);
  const ChunkSweeper sweeper(args, kernels_of(execution));
  const BlockChunks chunks(blocks, args.slices, args.block);
  std::atomic<bool> finite{true};
  execution.parallel_for(chunks.count(), [&](int64_t c) {
    const BlockRange range = chunks[c];
    SpanReader reader(*args.x);
    std::vector<float> scratch;
    const Span span = reader.read(range.first * args.block, range.count * args.block);
    if (!sweeper.sweep(range, span, scratch, args.codes + range.first)) finite = false;
  });
  if (!finite) fail_non_finite(*args.x, first_non_finite(*args.x, 0, args.x->elements()), "x");
}

}  // namespace nvfp4cal::cpu
