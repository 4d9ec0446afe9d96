// One scale code at a time, for searches with functions of the caller's: what x becomes, and which blocks it suits better than the codes before. One
// implementation for all targets: plain loops, float64 sums in the order of the elements.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <vector>

#include "cpu/block_search.h"
#include "cpu/chunk.h"
#include "cpu/load.h"
#include "cpu/ops.h"
#include "cpu/sweep_plan.h"
#include "num/e2m1.h"

namespace nvfp4cal::cpu {

namespace {

BlockChunks chunks_of(const SweepArgs& sweep) { return {sweep.x->elements() / sweep.block, sweep.slices, sweep.block}; }

void read_floats(const TensorView& view, int64_t begin, int64_t n, std::vector<float>& out) {
  SpanReader reader(view);
  const Span span = reader.read(begin, n);
  out.resize(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) out[static_cast<size_t>(i)] = load_element(span, i);
}

bool all_finite(const float* values, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, num::bits_of(values[i]) & num::kAbsMask);
  return largest < num::kInfBits;
}

double squared_error(const float* x, const float* quantized, const float* weights, int block) {
  double sum = 0.0;
  for (int i = 0; i < block; ++i) {
    const double r = static_cast<double>(x[i]) - static_cast<double>(quantized[i]);
    sum += weights ? static_cast<double>(weights[i]) * (r * r) : r * r;
  }
  return sum;
}

double given_error(const float* errors, const float* weights, int block) {
  double sum = 0.0;
  for (int i = 0; i < block; ++i) {
    const double error = static_cast<double>(errors[i]);
    sum += weights ? static_cast<double>(weights[i]) * error : error;
  }
  return sum;
}

double hessian_error(const float* x, const float* quantized, const float* hessian, int block) {
  double r[kMaxBlock], sum = 0.0;
  for (int i = 0; i < block; ++i) r[i] = static_cast<double>(x[i]) - static_cast<double>(quantized[i]);
  for (int i = 0; i < block; ++i) {
    double t = 0.0;
    for (int j = 0; j < block; ++j) t += static_cast<double>(hessian[i * block + j]) * r[j];
    sum += r[i] * t;
  }
  return sum;
}

class CodeErrors {
 public:
  explicit CodeErrors(const CodeErrorsArgs& args)
      : args_(args), sweep_(args.sweep), cols_(args.sweep.weights ? args.sweep.weights->elements() : 0) {
    for (int64_t s = 0; sweep_.has_window && s < sweep_.slices; ++s) {
      plans_.emplace_back(sweep_.global_amax[s] > 0.0f ? sweep_.global_amax[s] : 1.0f, sweep_.block, sweep_.normalization);
      plans_.back().set_window(sweep_.window_lo, sweep_.window_hi);
    }
    if (one_row()) read_floats(*sweep_.weights, 0, cols_, row_);
  }

  // False if a value that was given is not finite.
  bool run(const BlockRange& range) const {
    const int64_t block = sweep_.block, begin = range.first * block, n = range.count * block;
    if (args_.quantized && !all_finite(args_.quantized + begin, n)) return false;
    if (args_.errors && !all_finite(args_.errors + begin, n)) return false;
    std::vector<float> x, weights;
    if (!args_.errors || sweep_.has_window) read_floats(*sweep_.x, begin, n, x);
    if (sweep_.weights && !one_row()) read_floats(*sweep_.weights, begin, n, weights);
    for (int64_t b = range.first; b < range.first + range.count; ++b) {
      const int64_t at = (b - range.first) * block;
      if (sweep_.has_window && !in_window(plans_[static_cast<size_t>(range.slice)], x.data() + at)) continue;
      const float* w = !sweep_.weights ? nullptr : one_row() ? row_.data() + b * block % cols_ : weights.data() + at;
      const double error = args_.errors ? given_error(args_.errors + b * block, w, sweep_.block) : value_error(b, x.data() + at, w);
      if (!(error < args_.best[b])) continue;  // the smallest code wins ties
      args_.best[b] = error;
      sweep_.codes[b] = static_cast<uint8_t>(args_.code);
    }
    return true;
  }

 private:
  bool one_row() const { return sweep_.weights && cols_ != sweep_.x->elements(); }

  double value_error(int64_t b, const float* x, const float* weights) const {
    const float* quantized = args_.quantized + b * sweep_.block;
    if (!args_.hessian) return squared_error(x, quantized, weights, sweep_.block);
    return hessian_error(x, quantized, args_.hessian + b % args_.hessian_count * sweep_.block * sweep_.block, sweep_.block);
  }

  // A zero block has no window, as in the other searches.
  bool in_window(const SweepPlan& plan, const float* x) const {
    float m = 0.0f;
    for (int i = 0; i < sweep_.block; ++i) m = std::max(m, num::abs_of(x[i]));
    if (m == 0.0f) return true;
    const Ladder ladder = ladder_of(plan, m * plan.prescale * plan.prescale2);
    return args_.code <= ladder.top && num::e4m3_magnitude(args_.code) * ladder.lower >= ladder.u;
  }

  const CodeErrorsArgs& args_;
  const SweepArgs& sweep_;
  const int64_t cols_;            // weights
  std::vector<SweepPlan> plans_;  // one a slice, where there is a window
  std::vector<float> row_;        // weights, if one row serves all blocks
};

// Throws for the first value of a searched slice that is not finite, if there is one.
void check_finite(const CodeErrorsArgs& args, const float* values, const char* what) {
  if (!values) return;
  const TensorView& x = *args.sweep.x;
  const TensorView view = make_view(values, Dtype::kF32, x.ndim, x.shape);
  char name[64];
  std::snprintf(name, sizeof name, "scale code %d: %s", args.code, what);
  const int64_t n = x.elements() / args.sweep.slices;
  for (int64_t s = 0; s < args.sweep.slices; ++s) {
    if (args.sweep.global_amax[s] == 0.0f) continue;
    const int64_t index = first_non_finite(view, s * n, n);
    if (index >= 0) fail_non_finite(view, index, name);
  }
}

}  // namespace

void code_quantize(const Execution& execution, const CodeQuantizeArgs& args) {
  const SweepArgs& sweep = args.sweep;
  const BlockChunks chunks = chunks_of(sweep);
  execution.parallel_for(chunks.count(), [&](int64_t c) {
    const BlockRange range = chunks[c];
    const float global_amax = sweep.global_amax[range.slice];
    if (global_amax == 0.0f) return;
    // the search's own quotient and scale, in its units; back to x's by a power of two
    const SweepPlan plan(global_amax, sweep.block, sweep.normalization);
    const float scale = num::search_scale(args.code, plan.amax, plan.normalization);
    const float unit = std::ldexp(1.0f, num::exponent_of(global_amax));
    const int64_t begin = range.first * sweep.block, n = range.count * sweep.block;
    SpanReader reader(*sweep.x);
    const Span x = reader.read(begin, n);
    for (int64_t i = 0; i < n; ++i) {
      const float value = load_element(x, i);
      const float level = num::e2m1_round(num::abs_of(value) * plan.prescale * plan.prescale2 / scale);
      args.out[begin + i] = std::copysign(level * scale * unit, value);
    }
  });
}

void code_errors(const Execution& execution, const CodeErrorsArgs& args) {
  const BlockChunks chunks = chunks_of(args.sweep);
  const CodeErrors errors(args);
  std::atomic<bool> finite{true};
  execution.parallel_for(chunks.count(), [&](int64_t c) {
    const BlockRange range = chunks[c];
    if (args.sweep.global_amax[range.slice] > 0.0f && !errors.run(range)) finite = false;
  });
  if (finite) return;
  check_finite(args, args.quantized, "quantized x");
  check_finite(args, args.errors, "error");
}

}  // namespace nvfp4cal::cpu
