// Single-level quantization over a tensor whose last dimension is the block.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "core/hessian_text.h"
#include "cpu/block_search.h"
#include "cpu/chunk.h"
#include "cpu/load.h"
#include "cpu/ops.h"
#include "num/block_scale.h"

namespace nvfp4cal::cpu {

namespace {

// Blocks a task works on: an exhaustive search costs about a thousand times a plain pass, so tasks are small.
constexpr int64_t kSearchBlocks = 256;

// body(first block, count) for chunks of at most `size` blocks.
template <class Body>
void for_each_chunk(const Execution& execution, int64_t blocks, int64_t size, Body&& body) {
  execution.parallel_for((blocks + size - 1) / size, [&](int64_t c) { body(c * size, std::min(size, blocks - c * size)); });
}

// Elements of x as float32, at most `most` at once.
class FloatReader {
 public:
  FloatReader(const TensorView& view, int64_t most) : reader_(view), values_(static_cast<size_t>(most)) {}
  const float* read(int64_t begin, int64_t n) {
    const Span span = reader_.read(begin, n);
    for (int64_t i = 0; i < n; ++i) values_[static_cast<size_t>(i)] = load_element(span, i);
    return values_.data();
  }

 private:
  SpanReader reader_;
  std::vector<float> values_;
};

// Elements [begin, begin + n) of a float32 view of any strides.
void write_floats(const TensorView& out, int64_t begin, int64_t n, const float* values) {
  char* base = static_cast<char*>(out.data);
  for_each_run(out, begin, begin + n, [&](int64_t offset, int64_t step, int64_t count) {
    for (int64_t i = 0; i < count; ++i) std::memcpy(base + (offset + i * step) * 4, values++, 4);
  });
}

// All Hessians of a call, prepared.
class Hessians {
 public:
  Hessians(const Execution& execution, const BlockSearchArgs& args) : all_(static_cast<size_t>(args.columns)) {
    const int n = static_cast<int>(args.x->last());
    const size_t size = static_cast<size_t>(n) * static_cast<size_t>(n);
    const bool admm = args.method == BlockMethod::kAdmm;
    if (admm) memory_.resize(2 * size * all_.size());
    std::vector<char> singular(all_.size());
    execution.parallel_for(args.columns, [&](int64_t column) {
      const size_t j = static_cast<size_t>(column);
      all_[j] = bounded_hessian(args.hessians + j * size, n);
      if (admm) singular[j] = !prepare_admm(all_[j], n, &memory_[2 * j * size], &memory_[(2 * j + 1) * size]);
    });
    const auto bad = std::find(singular.begin(), singular.end(), 1);
    if (bad == singular.end()) return;
    throw Error(Status::kInvalidArgument, hessian_singular_text(bad - singular.begin()));
  }
  const num::BlockHessian& of_block(int64_t block) const { return all_[static_cast<size_t>(block) % all_.size()]; }

 private:
  std::vector<num::BlockHessian> all_;
  std::vector<double> memory_;
};

// The scale of one block; writes its levels.
float search_block(const BlockSearchArgs& args, const Hessians* hessians, int64_t block, const float* x, float* quants) {
  const int n = static_cast<int>(args.x->last());
  if (args.method == BlockMethod::kAdmm) {
    return admm(x, n, hessians->of_block(block), {args.n_outer, args.n_inner, args.from_optimal}, quants);
  }
  const float scale = args.method == BlockMethod::kNaive     ? num::naive_scale(x, n)
                      : args.method == BlockMethod::kOptimal ? num::optimal_scale(x, n, args.search_noise)
                                                             : hessian_scale(x, n, hessians->of_block(block));
  quantize_block(x, n, scale, quants);
  return scale;
}

void decode_block(const float* quants, int64_t n, float scale, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = quants[i] * scale;
}

}  // namespace

void block_search(const Execution& execution, const BlockSearchArgs& args) {
  const int64_t n = args.x->last(), blocks = args.x->elements() / n;
  std::optional<Hessians> hessians;
  if (args.hessians) hessians.emplace(execution, args);
  for_each_chunk(execution, blocks, kSearchBlocks, [&](int64_t first, int64_t count) {
    FloatReader reader(*args.x, n);
    std::vector<float> quants(static_cast<size_t>(n)), decoded(static_cast<size_t>(n));
    for (int64_t b = first; b < first + count; ++b) {
      const float scale = search_block(args, hessians ? &*hessians : nullptr, b, reader.read(b * n, n), quants.data());
      args.scales[b] = scale;
      write_floats(*args.quants, b * n, n, quants.data());
      if (!args.dequant) continue;
      decode_block(quants.data(), n, scale, decoded.data());
      write_floats(*args.dequant, b * n, n, decoded.data());
    }
  });
}

// Blocks of any extent, in pieces.
void block_apply(const Execution& execution, const BlockApplyArgs& args) {
  const int64_t n = args.x->last(), blocks = n > 0 ? args.x->elements() / n : 0, piece = std::min(n, kTileElements);
  for_each_chunk(execution, blocks, std::max<int64_t>(1, kChunkElements / std::max<int64_t>(n, 1)), [&](int64_t first, int64_t count) {
    FloatReader reader(*args.x, piece);
    std::vector<float> out(static_cast<size_t>(piece));
    for (int64_t b = first; b < first + count; ++b) {
      const float scale = num::abs_of(args.scales[b * args.scale_step]);  // -0 is 0
      double error = 0.0;
      for (int64_t begin = b * n; begin < (b + 1) * n; begin += piece) {
        const int64_t here = std::min(piece, (b + 1) * n - begin);
        const float* x = reader.read(begin, here);
        if (args.squared_error) {
          error = num::block_sse(x, static_cast<int>(here), scale, std::numeric_limits<double>::infinity(), error);
        } else if (args.dequant) {
          decode_block(x, here, scale, out.data());
          write_floats(*args.dequant, begin, here, out.data());
        } else {
          quantize_block(x, static_cast<int>(here), scale, out.data());
          write_floats(*args.quants, begin, here, out.data());
        }
      }
      if (args.squared_error) args.squared_error[b] = error;
    }
  });
}

}  // namespace nvfp4cal::cpu
