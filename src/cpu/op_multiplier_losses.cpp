// Losses of a tensor quantized with multiples of its amax. One implementation for all targets: plain loops without fused operations, sums in an order that
// depends on the shape alone.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "cpu/amax_quantizers.h"
#include "cpu/amax_runs.h"
#include "cpu/chunk.h"
#include "cpu/load.h"
#include "cpu/ops.h"
#include "cpu/targets.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int kLanes = 8;                           // sums of a run side by side
constexpr int64_t kLargestSlabs = 64;               // parts of a tensor, one a task
constexpr int64_t kPartialSums = int64_t{1} << 23;  // float64 sums that all slabs may hold together

// What x became is given.
struct Given {
  AmaxScale scale(float amax) const { return {amax, 0.0f}; }
  float value(float, AmaxScale s) const { return s.in; }
};

struct Squared {
  double operator()(double d) const { return d * d; }
};
struct Absolute {
  double operator()(double d) const { return std::fabs(d); }
};
struct Power {
  double power;
  double operator()(double d) const { return std::pow(std::fabs(d), power); }
};
struct Plain {
  double operator()(double d) const { return d; }
};

// Sum over a run: element i adds to lane i mod 8, the lanes are added in order. step: 0, one scale for all, or 1, one for each element.
template <int step, class Quantizer, class Error>
double run_sum(const Quantizer& quantizer, const Error& error, const float* x, const float* in, const float* out, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const float q = quantizer.value(x[i + k], {in[(i + k) * step], out[(i + k) * step]});
      lanes[k] += error(static_cast<double>(x[i + k]) - static_cast<double>(q));
    }
  }
  for (int k = 0; i < n; ++i, ++k) {
    const float q = quantizer.value(x[i], {in[i * step], out[i * step]});
    lanes[k] += error(static_cast<double>(x[i]) - static_cast<double>(q));
  }
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// Neighbouring elements belong to neighbouring channels.
template <class Quantizer, class Error>
void add_errors(const Quantizer& quantizer, const Error& error, const float* x, const float* in, const float* out, int64_t n,
                double* sums) {
  for (int64_t i = 0; i < n; ++i) {
    const float q = quantizer.value(x[i], {in[i], out[i]});
    sums[i] += error(static_cast<double>(x[i]) - static_cast<double>(q));
  }
}

// The scales of all amaxes times all multipliers.
struct ScaleTable {
  std::vector<float> in, out;

  template <class Quantizer>
  ScaleTable(const Quantizer& quantizer, const AmaxMap& amax, const float* multipliers, int64_t multiplier_count) {
    in.reserve(static_cast<size_t>(amax.count * multiplier_count));
    out.reserve(in.capacity());
    for (int64_t m = 0; m < multiplier_count; ++m) {
      for (int64_t a = 0; a < amax.count; ++a) {
        const AmaxScale s = quantizer.scale(multipliers ? amax.amax[a] * multipliers[m] : amax.amax[a]);
        in.push_back(s.in);
        out.push_back(s.out);
      }
    }
  }
};

// A part of the tensor and the sums of the channels that it touches.
struct Slab {
  int64_t begin, end;
  int64_t first_channel, channels;
  std::vector<double> sums;  // [multiplier_count, channels]
};

std::vector<Slab> make_slabs(const MultiplierLossesArgs& args, const AmaxRuns& runs) {
  const int64_t n = args.x->elements();
  int64_t count = std::clamp((n + kChunkElements - 1) / kChunkElements, int64_t{1}, kLargestSlabs);
  for (;; count /= 2) {
    const int64_t size = ((n + count - 1) / count + kTileElements - 1) / kTileElements * kTileElements;
    std::vector<Slab> slabs;
    int64_t held = 0;
    for (int64_t begin = 0; begin < n; begin += size) {
      const int64_t end = std::min(n, begin + size);
      const auto [lowest, highest] = runs.channel_range(begin, end);
      slabs.push_back({begin, end, lowest, highest - lowest + 1, {}});
      held += slabs.back().channels * args.multiplier_count;
    }
    // channels that slabs have to themselves cost no more than the result does
    if (count == 1 || held <= kPartialSums + args.channels * args.multiplier_count) return slabs;
  }
}

// Elements [begin, begin + n) as float32.
const float* as_floats(SpanReader& reader, int64_t begin, int64_t n, std::vector<float>& buffer) {
  const Span span = reader.read(begin, n);
  buffer.resize(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) buffer[static_cast<size_t>(i)] = load_element(span, i);
  return buffer.data();
}

bool all_finite(const float* x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, num::bits_of(x[i]) & num::kAbsMask);
  return largest < num::kInfBits;
}

template <class Quantizer, class Error>
class Summer {
 public:
  Summer(const MultiplierLossesArgs& args, const AmaxRuns& runs, const Quantizer& quantizer, const Error& error)
      : args_(args),
        runs_(runs),
        quantizer_(quantizer),
        error_(error),
        table_(quantizer, args.amax, args.multipliers, args.quantizer ? args.multiplier_count : 0) {}

  // False if an element is not finite.
  bool run(Slab& slab) const {
    slab.sums.assign(static_cast<size_t>(slab.channels * args_.multiplier_count), 0.0);
    SpanReader reader(*args_.x);
    std::vector<float> buffer;
    std::vector<AmaxRun> cut;
    const std::vector<float> zeros(args_.quantizer || args_.quantized ? 0 : static_cast<size_t>(kTileElements));
    for (int64_t begin = slab.begin; begin < slab.end; begin += kTileElements) {
      const int64_t end = std::min(slab.end, begin + kTileElements);
      const float* x = as_floats(reader, begin, end - begin, buffer);
      if (!all_finite(x, end - begin)) return false;
      cut.clear();
      runs_.cut(begin, end, cut);
      if (!args_.quantizer) {
        const float* given = args_.quantized ? args_.quantized + begin : zeros.data();
        if (!all_finite(given, end - begin)) return false;
        for (const AmaxRun& one : cut) add<1>(one, x, given + one.begin, given + one.begin, sums_of(slab, 0, one));
        continue;
      }
      for (int64_t m = 0; m < args_.multiplier_count; ++m) {
        const float *in = table_.in.data() + m * args_.amax.count, *out = table_.out.data() + m * args_.amax.count;
        for (const AmaxRun& one : cut) {
          double* const sums = sums_of(slab, m, one);
          runs_.amax_step() == 0 ? add<0>(one, x, in + one.amax, out + one.amax, sums)
                                 : add<1>(one, x, in + one.amax, out + one.amax, sums);
        }
      }
    }
    return true;
  }

 private:
  double* sums_of(Slab& slab, int64_t m, const AmaxRun& one) const {
    return slab.sums.data() + m * slab.channels + one.channel - slab.first_channel;
  }

  template <int step>
  void add(const AmaxRun& one, const float* x, const float* in, const float* out, double* sums) const {
    if (runs_.channel_step() == 0) {
      *sums += run_sum<step>(quantizer_, error_, x + one.begin, in, out, one.count);
    } else {
      add_errors(quantizer_, error_, x + one.begin, in, out, one.count, sums);
    }
  }

  const MultiplierLossesArgs& args_;
  const AmaxRuns& runs_;
  const Quantizer quantizer_;
  const Error error_;
  const ScaleTable table_;
};

[[noreturn]] void fail_not_finite(const MultiplierLossesArgs& args) {
  const int64_t n = args.x->elements(), index = first_non_finite(*args.x, 0, n);
  if (index >= 0) fail_non_finite(*args.x, index, args.name);
  const TensorView quantized = make_view(args.quantized, Dtype::kF32, args.x->ndim, args.x->shape);
  fail_non_finite(quantized, first_non_finite(quantized, 0, n), "quantized x");
}

template <class Quantizer, class Error>
void add_losses(const Execution& execution, const MultiplierLossesArgs& args, const Quantizer& quantizer, const Error& error) {
  const AmaxRuns runs(*args.x, args.amax.strides, args.channel_strides);
  const Summer<Quantizer, Error> summer(args, runs, quantizer, error);
  std::vector<Slab> slabs = make_slabs(args, runs);
  std::atomic<bool> finite{true};
  execution.parallel_for(static_cast<int64_t>(slabs.size()), [&](int64_t s) {
    if (!summer.run(slabs[static_cast<size_t>(s)])) finite = false;
  });
  if (!finite) fail_not_finite(args);
  for (const Slab& slab : slabs) {
    for (int64_t m = 0; m < args.multiplier_count; ++m) {
      double* const losses = args.losses + m * args.channels + slab.first_channel;
      const double* const sums = slab.sums.data() + m * slab.channels;
      for (int64_t c = 0; c < slab.channels; ++c) losses[c] += sums[c];
    }
  }
}

template <class Error>
void add_losses(const Execution& execution, const MultiplierLossesArgs& args, const Error& error) {
  if (!args.quantizer) return add_losses(execution, args, Given(), error);
  with_quantizer(*args.quantizer, [&](const auto& quantizer) { add_losses(execution, args, quantizer, error); });
}

}  // namespace

void multiplier_losses(const Execution& execution, const MultiplierLossesArgs& args) {
  switch (args.error) {
    case ErrorKind::kSquared: return add_losses(execution, args, Squared());
    case ErrorKind::kAbsolute: return add_losses(execution, args, Absolute());
    case ErrorKind::kPower: return add_losses(execution, args, Power{args.power});
    case ErrorKind::kPlain: return add_losses(execution, args, Given(), Plain());
  }
}

void amax_quantize(const Execution& execution, const AmaxQuantizeArgs& args) {
  const int64_t n = args.x->elements(), none[kMaxNdim] = {};
  const AmaxRuns runs(*args.x, args.amax.strides, none);
  std::atomic<bool> finite{true};
  with_quantizer(*args.quantizer, [&](const auto& quantizer) {
    const ScaleTable table(quantizer, args.amax, nullptr, 1);
    execution.parallel_for((n + kChunkElements - 1) / kChunkElements, [&](int64_t c) {
      const int64_t begin = c * kChunkElements, end = std::min(n, begin + kChunkElements);
      SpanReader reader(*args.x);
      std::vector<float> buffer;
      std::vector<AmaxRun> cut;
      const float* x = as_floats(reader, begin, end - begin, buffer);
      if (!all_finite(x, end - begin)) finite = false;
      runs.cut(begin, end, cut);
      for (const AmaxRun& one : cut) {
        for (int64_t i = 0; i < one.count; ++i) {
          const size_t a = static_cast<size_t>(one.amax + i * runs.amax_step());
          args.out[begin + one.begin + i] = quantizer.value(x[one.begin + i], {table.in[a], table.out[a]});
        }
      }
    });
  });
  if (!finite) fail_non_finite(*args.x, first_non_finite(*args.x, 0, n), "x");
}

}  // namespace nvfp4cal::cpu
