// Losses of a tensor quantized with multiples of its amax: cutting into slabs and runs, the scales of each run, joining. The sums are the kernels'.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "cpu/amax_quantizers.h"
#include "cpu/amax_runs.h"
#include "cpu/float_reader.h"
#include "cpu/lane_sum.h"
#include "cpu/ops.h"
#include "cpu/targets.h"
#include "num/power.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int64_t kLargestSlabs = 64;                // parts of a tensor, one a task
constexpr int64_t kElementsPerSum = 32;              // what a sum that several slabs have is worth
constexpr int64_t kSharedScales = int64_t{1} << 20;  // scales worth keeping for the whole tensor

// A part of the tensor and the sums of the channels that it touches: the losses themselves, or sums of its own.
struct Slab {
  int64_t begin, end;
  int64_t first_channel, channels;
  std::vector<double> own{};  // [multiplier_count, channels]
  double* sums = nullptr;     // of first_channel
  int64_t sum_step = 0;       // from a multiplier to the next

  double* sums_of(int64_t multiplier, int64_t channel) const { return sums + multiplier * sum_step + channel - first_channel; }
};

struct Slabs {
  std::vector<Slab> all;
  bool disjoint = true;  // no two have a channel in common
};

Slabs make_slabs(const MultiplierLossesArgs& args, const AmaxRuns& runs) {
  const int64_t n = args.x->elements();
  int64_t count = std::clamp((n + kChunkElements - 1) / kChunkElements, int64_t{1}, kLargestSlabs);
  for (;; count /= 2) {
    const int64_t size = ((n + count - 1) / count + kTileElements - 1) / kTileElements * kTileElements;
    Slabs slabs;
    int64_t held = 0;
    for (int64_t begin = 0; begin < n; begin += size) {
      const int64_t end = std::min(n, begin + size);
      const auto [lowest, highest] = runs.channel_range(begin, end);
      slabs.disjoint = slabs.disjoint && (slabs.all.empty() || lowest >= slabs.all.back().first_channel + slabs.all.back().channels);
      slabs.all.push_back({begin, end, lowest, highest - lowest + 1});
      held += slabs.all.back().channels;
    }
    if (count == 1 || slabs.disjoint || held <= args.channels + n / kElementsPerSum) return slabs;
  }
}

bool all_finite(const Kernels& kernels, const float* x, int64_t n) { return kernels.max_bits({Dtype::kF32, x}, n) < num::kInfBits; }

[[noreturn]] void fail_not_finite(const MultiplierLossesArgs& args) {
  const int64_t n = args.x->elements(), index = first_non_finite(*args.x, 0, n);
  if (index >= 0) fail_non_finite(*args.x, index, args.name);
  const TensorView quantized = make_view(args.quantized, Dtype::kF32, args.x->ndim, args.x->shape);
  fail_non_finite(quantized, first_non_finite(quantized, 0, n), "quantized x");
}

// Before anything is added to the losses.
void require_finite(const Execution& execution, const MultiplierLossesArgs& args, const std::vector<Slab>& slabs) {
  const Kernels& kernels = kernels_of(execution);
  std::atomic<bool> finite{true};
  execution.parallel_for(static_cast<int64_t>(slabs.size()), [&](int64_t s) {
    SpanReader reader(*args.x);
    const Slab& slab = slabs[static_cast<size_t>(s)];
    for (int64_t begin = slab.begin; begin < slab.end; begin += kTileElements) {
      const int64_t count = std::min(kTileElements, slab.end - begin);
      if (kernels.max_bits(reader.read(begin, count), count) >= num::kInfBits) finite = false;
      if (args.quantized && !all_finite(kernels, args.quantized + begin, count)) finite = false;
    }
  });
  if (!finite) fail_not_finite(args);
}

// run(slab) adds to the slab's sums, which are joined in order.
template <class Run>
void add_slabs(const Execution& execution, const MultiplierLossesArgs& args, const AmaxRuns& runs, Run&& run) {
  Slabs slabs = make_slabs(args, runs);
  require_finite(execution, args, slabs.all);
  execution.parallel_for(static_cast<int64_t>(slabs.all.size()), [&](int64_t s) {
    Slab& slab = slabs.all[static_cast<size_t>(s)];
    if (slabs.disjoint) {
      slab.sums = args.losses + slab.first_channel;
      slab.sum_step = args.channels;
    } else {
      slab.own.assign(static_cast<size_t>(slab.channels * args.multiplier_count), 0.0);
      slab.sums = slab.own.data();
      slab.sum_step = slab.channels;
    }
    run(slab);
  });
  if (slabs.disjoint) return;
  for (const Slab& slab : slabs.all) {
    for (int64_t m = 0; m < args.multiplier_count; ++m) {
      double* const losses = args.losses + m * args.channels + slab.first_channel;
      for (int64_t c = 0; c < slab.channels; ++c) losses[c] += slab.sums[m * slab.sum_step + c];
    }
  }
}

// ---- built-in quantizers -----------------------------------------------------------------------------------------------

// The scales of neighbouring amaxes times all multipliers. What a run needs lies side by side: multipliers if its elements share an amax, else amaxes.
class ScaleTable {
 public:
  ScaleTable(const MultiplierLossesArgs& args, const Kernels& kernels, bool amaxes_in_rows)
      : args_(args), kernels_(kernels), amaxes_in_rows_(amaxes_in_rows) {}

  void fill(int64_t first, int64_t count) {
    first_ = first;
    count_ = count;
    in_.resize(static_cast<size_t>(count * args_.multiplier_count));
    out_.resize(in_.size());
    const int64_t outer = amaxes_in_rows_ ? args_.multiplier_count : count, inner = amaxes_in_rows_ ? count : args_.multiplier_count;
    std::vector<float> products(static_cast<size_t>(inner));
    for (int64_t o = 0; o < outer; ++o) {
      const float* const many = amaxes_in_rows_ ? args_.amax.amax + first : args_.multipliers;
      const float one = amaxes_in_rows_ ? args_.multipliers[o] : args_.amax.amax[first + o];
      std::transform(many, many + inner, products.begin(), [one](float value) { return value * one; });
      kernels_.amax_scales(*args_.quantizer, products.data(), inner, in_.data() + o * inner, out_.data() + o * inner);
    }
  }
  bool covers(int64_t first, int64_t last) const { return first >= first_ && last < first_ + count_; }
  const float* in(int64_t multiplier, int64_t amax) const { return in_.data() + index(multiplier, amax); }
  const float* out(int64_t multiplier, int64_t amax) const { return out_.data() + index(multiplier, amax); }

 private:
  int64_t index(int64_t multiplier, int64_t amax) const {
    return amaxes_in_rows_ ? multiplier * count_ + amax - first_ : (amax - first_) * args_.multiplier_count + multiplier;
  }

  const MultiplierLossesArgs& args_;
  const Kernels& kernels_;
  const bool amaxes_in_rows_;
  int64_t first_ = 0, count_ = 0;
  std::vector<float> in_, out_;
};

// How many runs from `at` on lie one below the other: the same amaxes and channels.
int64_t rows_at(const std::vector<AmaxRun>& cut, size_t at) {
  const auto other = [&](const AmaxRun& run) {
    return run.count != cut[at].count || run.amax != cut[at].amax || run.channel != cut[at].channel;
  };
  const auto first = cut.begin() + static_cast<std::ptrdiff_t>(at);
  return std::find_if(first, cut.end(), other) - first;
}

class BuiltIn {
 public:
  BuiltIn(const Execution& execution, const MultiplierLossesArgs& args, const AmaxRuns& runs)
      : args_(args),
        runs_(runs),
        kernels_(kernels_of(execution)),
        what_{*args.quantizer, args.error, args.power},
        shared_(args, kernels_, runs.amax_step() == 1) {
    if (args.amax.count * args.multiplier_count <= kSharedScales) shared_.fill(0, args.amax.count);
  }

  void run(const Slab& slab) const {
    // scales and sums of many columns are worth loading for many rows
    const int64_t tile = runs_.channel_step() == 1 ? kChunkElements : kTileElements;
    FloatReader reader(kernels_, *args_.x);
    ScaleTable own(args_, kernels_, runs_.amax_step() == 1);
    std::vector<AmaxRun> cut;
    for (int64_t begin = slab.begin; begin < slab.end; begin += tile) {
      const int64_t end = std::min(slab.end, begin + tile);
      const float* const x = reader.read(begin, end - begin);
      const auto [first, last] = runs_.amax_range(begin, end);
      const bool is_shared = shared_.covers(first, last);
      if (!is_shared && !own.covers(first, last)) own.fill(first, last - first + 1);
      const ScaleTable& table = is_shared ? shared_ : own;
      cut.clear();
      runs_.cut(begin, end, cut);
      if (runs_.amax_step() == 0) {
        for (const AmaxRun& one : cut) add_run(slab, table, x, one);
      } else if (runs_.channel_step() == 1) {
        for (size_t i = 0; i < cut.size();) {
          const int64_t rows = rows_at(cut, i);
          add_columns(slab, table, x, cut[i], rows);
          i += static_cast<size_t>(rows);
        }
      } else {
        for (const AmaxRun& one : cut) add_own_amaxes(slab, table, x, one);
      }
    }
  }

 private:
  void add_run(const Slab& slab, const ScaleTable& table, const float* x, const AmaxRun& one) const {
    kernels_.amax_errors(what_, x + one.begin, one.count, table.in(0, one.amax), table.out(0, one.amax), args_.multiplier_count,
                         slab.sums_of(0, one.channel), slab.sum_step);
  }

  void add_columns(const Slab& slab, const ScaleTable& table, const float* x, const AmaxRun& run, int64_t rows) const {
    for (int64_t m = 0; m < args_.multiplier_count; ++m) {
      kernels_.amax_errors_each(what_, x + run.begin, rows, run.count, table.in(m, run.amax), table.out(m, run.amax),
                                slab.sums_of(m, run.channel));
    }
  }

  // One channel, an amax for each element.
  void add_own_amaxes(const Slab& slab, const ScaleTable& table, const float* x, const AmaxRun& one) const {
    std::vector<double> errors(static_cast<size_t>(one.count));
    for (int64_t m = 0; m < args_.multiplier_count; ++m) {
      std::fill(errors.begin(), errors.end(), 0.0);
      kernels_.amax_errors_each(what_, x + one.begin, 1, one.count, table.in(m, one.amax), table.out(m, one.amax), errors.data());
      *slab.sums_of(m, one.channel) += lane_sum(one.count, [&](int64_t i) { return errors[static_cast<size_t>(i)]; });
    }
  }

  const MultiplierLossesArgs& args_;
  const AmaxRuns& runs_;
  const Kernels& kernels_;
  const AmaxErrors what_;
  ScaleTable shared_;  // of all amaxes, or empty where they are many
};

// ---- given values ------------------------------------------------------------------------------------------------------

double error_of(ErrorKind kind, double power, double d) {
  switch (kind) {
    case ErrorKind::kSquared: return d * d;
    case ErrorKind::kAbsolute: return std::fabs(d);
    case ErrorKind::kPower: return num::power(std::fabs(d), power);
    default: return d;
  }
}

// What x became is given, or nothing: a function of the caller's made it, which takes more time than these loops.
void add_given(const MultiplierLossesArgs& args, const AmaxRuns& runs, const Kernels& kernels, const Slab& slab) {
  FloatReader reader(kernels, *args.x);
  std::vector<AmaxRun> cut;
  for (int64_t begin = slab.begin; begin < slab.end; begin += kTileElements) {
    const int64_t end = std::min(slab.end, begin + kTileElements);
    const float* const x = reader.read(begin, end - begin);
    const float* const q = args.quantized ? args.quantized + begin : nullptr;
    cut.clear();
    runs.cut(begin, end, cut);
    for (const AmaxRun& one : cut) {
      const auto term = [&](int64_t i) {
        const double given = q ? static_cast<double>(q[one.begin + i]) : 0.0;
        return error_of(args.error, args.power, static_cast<double>(x[one.begin + i]) - given);
      };
      double* const sums = slab.sums_of(0, one.channel);
      if (runs.channel_step() == 0) {
        *sums += lane_sum(one.count, term);
      } else {
        for (int64_t i = 0; i < one.count; ++i) sums[i] += term(i);
      }
    }
  }
}

}  // namespace

void multiplier_losses(const Execution& execution, const MultiplierLossesArgs& args) {
  const AmaxRuns runs(*args.x, args.amax.strides, args.channel_strides);
  if (args.quantizer) {
    const BuiltIn built_in(execution, args, runs);
    return add_slabs(execution, args, runs, [&](const Slab& slab) { built_in.run(slab); });
  }
  const Kernels& kernels = kernels_of(execution);
  add_slabs(execution, args, runs, [&](const Slab& slab) { add_given(args, runs, kernels, slab); });
}

void amax_quantize(const Execution& execution, const AmaxQuantizeArgs& args) {
  const int64_t n = args.x->elements(), none[kMaxNdim] = {};
  const AmaxRuns runs(*args.x, args.amax.strides, none);
  const Kernels& kernels = kernels_of(execution);
  std::atomic<bool> finite{true};
  with_quantizer(*args.quantizer, [&](const auto& quantizer) {
    std::vector<AmaxScale> scales;
    for (int64_t a = 0; a < args.amax.count; ++a) scales.push_back(quantizer.scale(args.amax.amax[a]));
    execution.parallel_for((n + kChunkElements - 1) / kChunkElements, [&](int64_t c) {
      const int64_t begin = c * kChunkElements, end = std::min(n, begin + kChunkElements);
      FloatReader reader(kernels, *args.x);
      std::vector<AmaxRun> cut;
      const float* const x = reader.read(begin, end - begin);
      if (!all_finite(kernels, x, end - begin)) finite = false;
      runs.cut(begin, end, cut);
      for (const AmaxRun& one : cut) {
        for (int64_t i = 0; i < one.count; ++i) {
          const AmaxScale scale = scales[static_cast<size_t>(one.amax + i * runs.amax_step())];
          args.out[begin + one.begin + i] = quantizer.value(x[one.begin + i], scale);
        }
      }
    });
  });
  if (!finite) fail_non_finite(*args.x, first_non_finite(*args.x, 0, n), "x");
}

}  // namespace nvfp4cal::cpu
