// X^T X of a tensor's rows. Every sum belongs to one task, which takes all rows in chunks: nothing depends on the number of threads, and memory
// beside the sums is a few chunks of columns.
#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/load.h"
#include "cpu/ops.h"
#include "cpu/targets.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int64_t kGroup = 16;       // columns that a kernel takes at once
constexpr int64_t kChunkRows = 128;  // a group of a chunk is 16 KiB: two fit the first-level cache
constexpr int64_t kPanelStride = kChunkRows * kGroup;
constexpr int64_t kTileColumns = 64;  // of a task, where columns meet only their neighbours

int64_t groups_of(int64_t columns) { return (columns + kGroup - 1) / kGroup; }

// Chunks of a tile's rows as float64, one group of 16 columns after the other; columns past the last are zero.
class Panel {
 public:
  Panel(const TensorView& x, const Kernels& kernels, int64_t first, int64_t columns)
      : reader_(x), kernels_(kernels), cols_(x.last()), first_(first), columns_(columns) {
    values_.resize(static_cast<size_t>(groups_of(columns) * kPanelStride));
  }

  void load(int64_t row, int64_t rows) {
    const int64_t whole = columns_ / kGroup;
    for (int64_t k = 0; k < rows; ++k) {
      const Span span = reader_.read((row + k) * cols_ + first_, columns_);
      double* const out = values_.data() + k * kGroup;
      kernels_.widen(span, whole, out, kPanelStride);
      for (int64_t i = whole * kGroup; i < columns_; ++i) {
        out[whole * kPanelStride + i % kGroup] = static_cast<double>(load_element(span, i));
      }
    }
  }

  const double* group(int64_t g) const { return values_.data() + g * kPanelStride; }
  int64_t groups() const { return groups_of(columns_); }
  int64_t columns() const { return columns_; }

 private:
  SpanReader reader_;
  const Kernels& kernels_;
  int64_t cols_, first_, columns_;
  std::vector<double> values_;
};

// body(first row, rows) for every chunk, in order.
template <class Body>
void for_each_chunk(const TensorView& x, Body&& body) {
  const int64_t rows = x.elements() / x.last();
  for (int64_t row = 0; row < rows; row += kChunkRows) body(row, std::min(kChunkRows, rows - row));
}

void add_blocks(const HessianArgs& args, const Kernels& kernels, Panel& panel, int64_t first) {
  const int64_t block = args.block, parts = block / kGroup;
  double* const tile = args.sums + first * block;
  for_each_chunk(*args.x, [&](int64_t row, int64_t rows) {
    panel.load(row, rows);
    for (int64_t b = 0; b < panel.columns() / block; ++b) {
      for (int64_t i = 0; i < parts; ++i) {
        for (int64_t j = 0; j < parts; ++j) {
          double* const c = tile + (b * block + i * kGroup) * block + j * kGroup;
          kernels.outer_product(panel.group(b * parts + i), panel.group(b * parts + j), rows, c, block);
        }
      }
    }
  });
}

void add_diagonal(const HessianArgs& args, Panel& panel, int64_t first) {
  for_each_chunk(*args.x, [&](int64_t row, int64_t rows) {
    panel.load(row, rows);
    for (int64_t g = 0; g < panel.groups(); ++g) {
      const double* const values = panel.group(g);
      double sums[kGroup] = {};
      for (int64_t k = 0; k < rows; ++k) {
        for (int64_t i = 0; i < kGroup; ++i) sums[i] += values[k * kGroup + i] * values[k * kGroup + i];
      }
      const int64_t here = std::min(kGroup, panel.columns() - g * kGroup);
      for (int64_t i = 0; i < here; ++i) args.sums[first + g * kGroup + i] += sums[i];
    }
  });
}

// Columns of band `up` against those of band `across` >= up.
void add_bands(const HessianArgs& args, const Kernels& kernels, int64_t up, int64_t across) {
  const int64_t cols = args.x->last(), first = up * kHessianBand, other = across * kHessianBand;
  Panel a(*args.x, kernels, first, std::min(kHessianBand, cols - first));
  Panel b(*args.x, kernels, other, std::min(kHessianBand, cols - other));
  std::vector<double> tile(static_cast<size_t>(kHessianBand * kHessianBand));
  for_each_chunk(*args.x, [&](int64_t row, int64_t rows) {
    a.load(row, rows);
    if (across != up) b.load(row, rows);
    const Panel& right = across != up ? b : a;
    for (int64_t i = 0; i < a.groups(); ++i) {
      for (int64_t j = 0; j < right.groups(); ++j) {
        kernels.outer_product(a.group(i), right.group(j), rows, tile.data() + (i * kHessianBand + j) * kGroup, kHessianBand);
      }
    }
  });
  double* const band = args.sums + hessian_band_offset(cols, first) + (other - first);
  for (int64_t i = 0; i < a.columns(); ++i) {
    std::copy_n(tile.data() + i * kHessianBand, b.columns(), band + i * (cols - first));
  }
}

// A sum of squares of float32 values is finite in float64 unless a value is not.
bool has_finite_diagonal(const HessianArgs& args) {
  const int64_t cols = args.x->last();
  for (int64_t c = 0; c < cols; ++c) {
    if (!std::isfinite(args.sums[hessian_diagonal(args.layout, cols, args.block, c)])) return false;
  }
  return true;
}

}  // namespace

void hessian(const Execution& execution, const HessianArgs& args) {
  const Kernels& kernels = kernels_of(execution);
  const int64_t cols = args.x->last();
  std::fill_n(args.sums, hessian_size(args.layout, cols, args.block), 0.0);
  if (args.layout == HessianLayout::kFull) {
    const int64_t bands = (cols + kHessianBand - 1) / kHessianBand;
    execution.parallel_for(bands * bands, [&](int64_t pair) {
      if (pair % bands >= pair / bands) add_bands(args, kernels, pair / bands, pair % bands);
    });
  } else {
    execution.parallel_for((cols + kTileColumns - 1) / kTileColumns, [&](int64_t tile) {
      const int64_t first = tile * kTileColumns;
      Panel panel(*args.x, kernels, first, std::min(kTileColumns, cols - first));
      if (args.layout == HessianLayout::kBlocks) {
        add_blocks(args, kernels, panel, first);
      } else {
        add_diagonal(args, panel, first);
      }
    });
  }
  if (!has_finite_diagonal(args)) fail_non_finite(*args.x, first_non_finite(*args.x, 0, args.x->elements()), args.name);
}

}  // namespace nvfp4cal::cpu
