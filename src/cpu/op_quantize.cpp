// From elements to codes, nibbles, decoded values and their error: a chunk is searched, then packed while it is in the second-level cache.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/load.h"
#include "cpu/ops.h"
#include "cpu/store.h"
#include "cpu/sweep_chunk.h"
#include "cpu/targets.h"

namespace nvfp4cal::cpu {

namespace {

// The power of two that brings a global amax to 2^40, so that squares of it and of what is 2^100 times smaller are ordinary float32 numbers. A tensor
// that is written as zeros has no global amax, but may have tiny elements.
float square_factor(float global_amax) {
  if (global_amax == 0.0f) return 0x1p127f;
  int exponent = 0;
  std::frexp(global_amax, &exponent);
  return std::ldexp(1.0f, std::min(41 - exponent, 127));
}

class Quantizer {
 public:
  Quantizer(const QuantizeArgs& args, const Kernels& kernels)
      : args_(args), sweep_(args.sweep), kernels_(kernels), searches_(!args.block_amax && args.method == Method::kMse) {
    // the search's plans are only made where there is a search
    if (searches_) sweeper_.emplace_back(args.sweep, kernels);
  }

  // Quantizes the chunk; sums is NULL or [32] (see Kernels::squared_error).
  void run(const BlockRange& chunk, double* sums) const {
    // nibbles alone need no buffers that a first-level cache should hold
    const int64_t block = sweep_.block, blocks_per_tile = args_.decoded || sums ? kTileElements / block : chunk.count;
    SpanReader reader(*sweep_.x);
    const Span x = reader.read(chunk.first * block, chunk.count * block);
    Scratch scratch;
    uint8_t* codes = sweep_.codes ? sweep_.codes + chunk.first : sized(scratch.codes, chunk.count);
    if (searches_) choose_codes(chunk, x, scratch, codes);
    const LevelUse use = fakes(x.dtype, sums) ? LevelUse::kFakeQuantize : LevelUse::kPack;
    kernels_.level_plan(x.dtype, global_scale(chunk.slice), use, &scratch.level_plan);
    for (int64_t b = 0; b < chunk.count; b += blocks_per_tile) {
      const BlockRange tile{chunk.slice, chunk.first + b, std::min(blocks_per_tile, chunk.count - b)};
      if (!searches_) choose_codes(tile, x.at(b * block), scratch, codes + b);
      run_tile(tile, x.at(b * block), codes + b, scratch, sums);
    }
    if (args_.decoded) finish_streams();
    if (!sums) return;
    const double factor = static_cast<double>(square_factor(sweep_.global_amax[chunk.slice]));
    for (int i = 0; i < 32; ++i) sums[i] /= factor * factor;
    if (std::all_of(sums + 16, sums + 32, [](double energy) { return energy == 0.0; })) add_lost(x, chunk.count * block, sums);
  }

 private:
  struct Scratch {
    std::vector<uint8_t> codes, packed;
    std::vector<float> scales, doubles, weights;
    LevelPlan level_plan;
    std::optional<SweepPlan> max_plan;  // for max_codes: of the chunk's slice
  };

  template <class T>
  static T* sized(std::vector<T>& values, int64_t n) {
    values.resize(static_cast<size_t>(n));
    return values.data();
  }

  // Elements too far below the global amax for float32 squares, if they are not zeros: all of them are decoded as zero.
  static void add_lost(Span x, int64_t n, double* sums) {
    for (int64_t i = 0; i < n; ++i) {
      const double value = static_cast<double>(load_element(x, i));
      sums[i % 16] += value * value;
      sums[16 + i % 16] += value * value;
    }
  }

  // An all-zero slice has G = 0; any finite scale will do.
  float global_scale(int64_t slice) const {
    const float global_amax = sweep_.global_amax[slice];
    return global_amax > 0.0f ? num::global_scale(global_amax, sweep_.normalization) : 1.0f;
  }

  // Whether decoded values are all that is asked for, and a kernel makes them of elements of this dtype.
  bool fakes(Dtype dtype, const double* sums) const {
    return args_.decoded && decoded_kernel_dtype(*args_.decoded) == dtype && kernels_.fake_quantize && !args_.packed && !sums;
  }

  void run_tile(const BlockRange& tile, Span x, const uint8_t* codes, Scratch& scratch, double* sums) const {
    const int64_t n = tile.count * sweep_.block;
    DecodedSpan out = {};
    if (args_.decoded) out = decoded_span(*args_.decoded, tile.first * sweep_.block, n, scratch.doubles);
    if (fakes(x.dtype, sums)) {
      kernels_.fake_quantize(scratch.level_plan, x, sweep_.block, tile.count, codes, out);
    } else {
      pack_tile(tile, x, codes, out, scratch, sums);
    }
    if (args_.decoded) store_doubles(*args_.decoded, tile.first * sweep_.block, n, scratch.doubles);
  }

  void pack_tile(const BlockRange& tile, Span x, const uint8_t* codes, const DecodedSpan& out, Scratch& scratch, double* sums) const {
    const int64_t n = tile.count * sweep_.block;
    uint8_t* packed = args_.packed ? args_.packed + tile.first * sweep_.block / 2 : sized(scratch.packed, n / 2);
    kernels_.pack(scratch.level_plan, x, sweep_.block, tile.count, codes, packed);
    if (!out.data && !sums) return;
    float* const scales = sized(scratch.scales, tile.count);
    kernels_.block_scales(codes, tile.count, DecodeOrder::kModelopt, global_scale(tile.slice), scales);
    if (out.data) kernels_.decode(packed, sweep_.block, tile.count, scales, out);
    if (!sums) return;
    const float factor = square_factor(sweep_.global_amax[tile.slice]);
    for (int64_t b = 0; b < tile.count; ++b) scales[b] *= factor;
    kernels_.squared_error({x, sweep_.block, tile.count, scales, factor}, packed, sums);
  }

  void choose_codes(const BlockRange& chunk, Span x, Scratch& scratch, uint8_t* codes) const {
    const float global_amax = sweep_.global_amax[chunk.slice];
    if (global_amax == 0.0f) {
      std::memset(codes, num::kE4m3One, static_cast<size_t>(chunk.count));
    } else if (args_.block_amax) {
      for (int64_t b = 0; b < chunk.count; ++b) {
        codes[b] = num::code_of_amax(args_.block_amax[chunk.first + b], global_amax, sweep_.normalization);
      }
    } else if (searches_) {
      sweeper_[0].sweep(chunk, x, scratch.weights, codes);
    } else {
      if (!scratch.max_plan) scratch.max_plan.emplace(global_amax, sweep_.block, sweep_.normalization);
      kernels_.max_codes(*scratch.max_plan, x, chunk.count, codes);
    }
  }

  const QuantizeArgs& args_;
  const SweepArgs& sweep_;
  const Kernels& kernels_;
  const bool searches_;
  std::vector<ChunkSweeper> sweeper_;  // one or none
};

void check_finite(const Execution& execution, const TensorView& x) {
  const Kernels& kernels = kernels_of(execution);
  const int64_t n = x.elements();
  std::atomic<bool> finite{true};
  const int64_t share = n / (4 * execution.threads()) / kTileElements * kTileElements;
  const int64_t step = std::clamp(share, kChunkElements, SpanReader(x).most());
  execution.parallel_for((n + step - 1) / step, [&](int64_t c) {
    const int64_t begin = c * step, count = std::min(step, n - begin);
    SpanReader reader(x);
    if (kernels.max_bits(reader.read(begin, count), count) >= num::kInfBits) finite = false;
  });
  if (!finite) fail_non_finite(x, first_non_finite(x, 0, n), "x");
}

}  // namespace

void quantize(const Execution& execution, const QuantizeArgs& args) {
  const SweepArgs& sweep = args.sweep;
  // A look ahead, so that an error leaves the caller's memory as it was. Callers that have seen all of x skip it.
  if (!args.known_finite) check_finite(execution, *sweep.x);
  check_weights(execution, sweep);
  const BlockChunks chunks(sweep.x->elements() / sweep.block, sweep.slices, sweep.block);
  const Quantizer quantizer(args, kernels_of(execution));
  const size_t sum_count = args.squared_error ? static_cast<size_t>(chunks.count()) * 32 : 0;
  std::vector<double> sums(sum_count);
  execution.parallel_for(chunks.count(), [&](int64_t c) { quantizer.run(chunks[c], sum_count ? sums.data() + c * 32 : nullptr); });
  if (!args.squared_error) return;
  args.squared_error[0] = args.squared_error[1] = 0.0;
  for (size_t i = 0; i < sums.size(); ++i) args.squared_error[i / 16 % 2] += sums[i];  // in the order of the chunks
}

}  // namespace nvfp4cal::cpu
