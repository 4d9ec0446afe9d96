// Single-level quantization over a tensor whose last dimension is the block.
#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "core/hessian_text.h"
#include "cpu/block_search.h"
#include "cpu/chunk.h"
#include "cpu/float_reader.h"
#include "cpu/ops.h"
#include "cpu/targets.h"
#include "num/block_scale.h"

namespace nvfp4cal::cpu {

namespace {

// body(first block, count) for chunks of at most `size` blocks.
template <class Body>
void for_each_chunk(const Execution& execution, int64_t blocks, int64_t size, Body&& body) {
  execution.parallel_for((blocks + size - 1) / size, [&](int64_t c) { body(c * size, std::min(size, blocks - c * size)); });
}

// Elements of a float32 view of any strides, written where they belong or by way of a buffer.
class FloatWriter {
 public:
  explicit FloatWriter(const TensorView& view) : view_(view) {}
  // Memory for elements [begin, begin + n), which end() writes.
  float* begin(int64_t begin, int64_t n) {
    float* const here = static_cast<float*>(view_.data) + begin;
    if (view_.contiguous && reinterpret_cast<uintptr_t>(here) % alignof(float) == 0) return here;
    if (static_cast<int64_t>(buffer_.size()) < n) buffer_.resize(static_cast<size_t>(n));
    return buffer_.data();
  }
  void end(int64_t begin, int64_t n, const float* values) {
    if (values != buffer_.data()) return;
    char* base = static_cast<char*>(view_.data);
    for_each_run(view_, begin, begin + n, [&](int64_t offset, int64_t step, int64_t count) {
      for (int64_t i = 0; i < count; ++i) std::memcpy(base + (offset + i * step) * 4, values++, 4);
    });
  }

 private:
  const TensorView& view_;
  std::vector<float> buffer_;
};

void decode_block(const float* quants, int64_t n, float scale, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = quants[i] * scale;
}

// All Hessians of a call, prepared.
class Matrices {
 public:
  Matrices(const Execution& execution, const BlockSearchArgs& args) : all_(static_cast<size_t>(args.columns)) {
    const int n = static_cast<int>(args.x->last());
    const size_t size = static_cast<size_t>(n) * static_cast<size_t>(n), factor = static_cast<size_t>(factor_size(n));
    const bool admm = args.method == BlockMethod::kAdmm, scale = !admm || args.from_optimal;
    if (admm) memory_.resize(2 * size * all_.size());
    if (scale) factors_.resize(factor * all_.size());
    std::vector<char> singular(all_.size());
    execution.parallel_for(args.columns, [&](int64_t column) {
      const size_t j = static_cast<size_t>(column);
      num::BlockHessian& hessian = all_[j].hessian;
      hessian.h = args.hessians + j * size;
      if (scale) hessian = bounded_hessian(hessian.h, n);
      if (scale) all_[j].factor = factor_hessian(hessian, n, &factors_[j * factor]);
      if (admm) singular[j] = !prepare_admm(hessian, n, &memory_[2 * j * size], &memory_[(2 * j + 1) * size]);
    });
    const auto bad = std::find(singular.begin(), singular.end(), 1);
    if (bad == singular.end()) return;
    throw Error(Status::kInvalidArgument, hessian_singular_text(bad - singular.begin()));
  }
  const BlockMatrix& operator[](int64_t column) const { return all_[static_cast<size_t>(column)]; }

 private:
  std::vector<BlockMatrix> all_;
  std::vector<double> memory_;
  std::vector<float> factors_;
};

// A search that weighs errors, over rows of blocks [rows, columns]: tasks take the blocks of a few columns, which share matrices.
class HessianSearch {
 public:
  HessianSearch(const Execution& execution, const BlockSearchArgs& args)
      : args_(args),
        kernels_(kernels_of(execution)),
        matrices_(execution, args),
        n_(args.x->last()),
        rows_(args.x->elements() / n_ / args.columns),
        rows_per_task_(std::min(rows_, kAdmmBlocks)),
        columns_per_task_(std::max<int64_t>(1, kTaskElements / (rows_per_task_ * n_))),
        across_((args.columns + columns_per_task_ - 1) / columns_per_task_) {}

  int64_t tasks() const { return across_ * ((rows_ + rows_per_task_ - 1) / rows_per_task_); }

  void run(int64_t task) const {
    const int64_t row = task / across_ * rows_per_task_, column = task % across_ * columns_per_task_;
    const int64_t rows = std::min(rows_per_task_, rows_ - row), columns = std::min(columns_per_task_, args_.columns - column);
    const size_t blocks = static_cast<size_t>(rows * columns), elements = blocks * static_cast<size_t>(n_);
    std::vector<float> x(elements), quants(elements), scales(blocks);  // column after column
    FloatReader reader(kernels_, *args_.x);
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = reader.read(((row + r) * args_.columns + column) * n_, columns * n_);
      for (int64_t j = 0; j < columns; ++j, from += n_) std::copy(from, from + n_, &x[static_cast<size_t>((j * rows + r) * n_)]);
    }
    for (int64_t j = 0; j < columns; ++j) {
      const size_t first = static_cast<size_t>(j * rows), at = first * static_cast<size_t>(n_);
      search(matrices_[column + j], &x[at], rows, &scales[first], &quants[at]);
    }
    FloatWriter quants_writer(*args_.quants), dequant_writer(args_.dequant ? *args_.dequant : *args_.quants);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t first = (row + r) * args_.columns + column;
      float* const out = quants_writer.begin(first * n_, columns * n_);
      float* const decoded = args_.dequant ? dequant_writer.begin(first * n_, columns * n_) : nullptr;
      for (int64_t j = 0; j < columns; ++j) {
        const float *const levels = &quants[static_cast<size_t>((j * rows + r) * n_)], scale = scales[static_cast<size_t>(j * rows + r)];
        args_.scales[first + j] = scale;
        std::copy(levels, levels + n_, out + j * n_);
        if (decoded) decode_block(levels, n_, scale, decoded + j * n_);
      }
      quants_writer.end(first * n_, columns * n_, out);
      if (decoded) dequant_writer.end(first * n_, columns * n_, decoded);
    }
  }

 private:
  static constexpr int64_t kTaskElements = 4 * kTileElements;

  void search(const BlockMatrix& matrix, const float* x, int64_t blocks, float* scales, float* quants) const {
    const int n = static_cast<int>(n_);
    if (args_.method == BlockMethod::kAdmm)
      return admm(kernels_, matrix, n, {args_.n_outer, args_.n_inner, args_.from_optimal}, x, blocks, scales, quants);
    kernels_.hessian_scales(matrix, x, n, blocks, scales);
    kernels_.block_levels(x, n, blocks, scales, quants);
  }

  const BlockSearchArgs& args_;
  const Kernels& kernels_;
  const Matrices matrices_;
  const int64_t n_, rows_, rows_per_task_, columns_per_task_, across_;
};

// The search of one call without Hessians.
class Searcher {
 public:
  Searcher(const Execution& execution, const BlockSearchArgs& args)
      : args_(args), kernels_(kernels_of(execution)), n_(static_cast<int>(args.x->last())) {}

  // Scales and levels of `count` blocks.
  void run(int64_t count, const float* x, float* scales, float* quants) const {
    if (args_.method == BlockMethod::kOptimal) {
      kernels_.optimal_scales(x, n_, count, args_.search_noise, scales);
    } else {
      naive_scales(x, count, scales);
    }
    kernels_.block_levels(x, n_, count, scales, quants);
  }

  const Kernels& kernels() const { return kernels_; }

 private:
  void naive_scales(const float* x, int64_t count, float* scales) const {
    uint32_t bits[kTileElements / 16];
    kernels_.block_max_bits({Dtype::kF32, x}, n_, count, bits);
    for (int64_t b = 0; b < count; ++b) scales[b] = num::naive_scale_of(num::from_bits(bits[b]));
  }

  const BlockSearchArgs& args_;
  const Kernels& kernels_;
  int n_;
};

}  // namespace

void block_search(const Execution& execution, const BlockSearchArgs& args) {
  if (args.hessians) {
    const HessianSearch search(execution, args);
    return execution.parallel_for(search.tasks(), [&](int64_t task) { search.run(task); });
  }
  const Searcher searcher(execution, args);
  const int64_t n = args.x->last(), blocks = args.x->elements() / n, tile = kTileElements / n;
  for_each_chunk(execution, blocks, kChunkElements / n, [&](int64_t first, int64_t count) {
    FloatReader reader(searcher.kernels(), *args.x);
    FloatWriter quants_writer(*args.quants), dequant_writer(args.dequant ? *args.dequant : *args.quants);
    for (int64_t b = first; b < first + count; b += tile) {
      const int64_t here = std::min(tile, first + count - b);
      float *const quants = quants_writer.begin(b * n, here * n), *const scales = args.scales + b;
      searcher.run(here, reader.read(b * n, here * n), scales, quants);
      if (args.dequant) {
        float* const dequant = dequant_writer.begin(b * n, here * n);
        for (int64_t i = 0; i < here; ++i) decode_block(quants + i * n, n, scales[i], dequant + i * n);
        dequant_writer.end(b * n, here * n, dequant);
      }
      quants_writer.end(b * n, here * n, quants);
    }
  });
}

// Blocks of any extent, in pieces.
void block_apply(const Execution& execution, const BlockApplyArgs& args) {
  const int64_t n = args.x->last(), blocks = n > 0 ? args.x->elements() / n : 0, piece = std::min(n, kTileElements);
  const Kernels& kernels = kernels_of(execution);
  for_each_chunk(execution, blocks, std::max<int64_t>(1, kChunkElements / std::max<int64_t>(n, 1)), [&](int64_t first, int64_t count) {
    FloatReader reader(kernels, *args.x);
    std::optional<FloatWriter> writer;
    if (!args.squared_error) writer.emplace(args.dequant ? *args.dequant : *args.quants);
    for (int64_t b = first; b < first + count; ++b) {
      const float scale = num::abs_of(args.scales[b * args.scale_step]);  // -0 is 0
      double error = 0.0;
      for (int64_t begin = b * n; begin < (b + 1) * n; begin += piece) {
        const int64_t here = std::min(piece, (b + 1) * n - begin);
        const float* x = reader.read(begin, here);
        if (args.squared_error) {
          error = num::block_sse(x, static_cast<int>(here), scale, std::numeric_limits<double>::infinity(), error);
          continue;
        }
        float* const out = writer->begin(begin, here);
        args.dequant ? decode_block(x, here, scale, out) : kernels.block_levels(x, here, 1, &scale, out);
        writer->end(begin, here, out);
      }
      if (args.squared_error) args.squared_error[b] = error;
    }
  });
}

}  // namespace nvfp4cal::cpu
