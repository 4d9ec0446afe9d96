// Chunks of 64 rows of weights on their way through GPTQ (docs/gptq.md): what the kernels share, and those that look at each element alone.
#pragma once

#include "core/device_ops.h"
#include "kernels/atomics.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"
#include "num/gptq.h"

namespace nvfp4cal::cuda {

inline constexpr int64_t kGptqTile = num::kGptqRows * int64_t{num::kGptqGroup};  // changes of a chunk

// Rows of arrays are those of all chunks, one after the other; columns are places.
struct GptqRows {
  const DeviceGptqSlice* slices;
  int64_t first, chunks, chunks_of_slice;
  int64_t rows, cols, padded;
  float *weights, *errors;
  float* moving;       // while rounding: targets; from the descent on: gradients
  uint8_t* codes;      // [rows, cols / 16]
  float* changes;      // [rows, 128], of a group of columns
  uint8_t* list;       // [rows, 128]: which of them are no zeros, in order
  uint8_t* list_size;  // [rows]
  uint32_t* changed;   // [steps, chunks], zero at first: how many are no zeros

  NVFP4CAL_HD int64_t blocks() const { return cols / num::kGptqBlock; }
  NVFP4CAL_HD int64_t slice_index(int64_t chunk) const { return (first + chunk) / chunks_of_slice; }
  NVFP4CAL_HD const DeviceGptqSlice& slice(int64_t chunk) const { return slices[slice_index(chunk)]; }
  NVFP4CAL_HD const GptqParts& hessian(int64_t chunk) const { return *slice(chunk).hessian; }
  // The row of the caller's tensor that row `row` of the arrays is, or -1.
  NVFP4CAL_HD int64_t given_row(int64_t row) const {
    const int64_t chunk = first + row / num::kGptqRows, in_slice = chunk % chunks_of_slice * num::kGptqRows + row % num::kGptqRows;
    return in_slice < rows ? chunk / chunks_of_slice * rows + in_slice : -1;
  }
};

NVFP4CAL_HD inline int64_t gptq_column(const GptqParts& hessian, int64_t place) {
  return hessian.order[place / num::kGptqBlock] * int64_t{num::kGptqBlock} + place % num::kGptqBlock;
}

// Panels of square matrices.
NVFP4CAL_HD inline const float* gptq_panel_row(const float* matrix, int64_t padded, int64_t panel, int64_t row) {
  return matrix + (panel * padded + row) * kGptqPanel;
}

// What is read in one go.
struct alignas(16) Four {
  float at[4];
};
NVFP4CAL_HD inline const Four& four_at(const float* from) {
  require_aligned<sizeof(Four)>(from);
  return *reinterpret_cast<const Four*>(from);
}
NVFP4CAL_HD inline Four& four_at(float* at) {
  require_aligned<sizeof(Four)>(at);
  return *reinterpret_cast<Four*>(at);
}

// Which of a row's changes are no zeros, in order, and how many: added to the chunk's.
template <class Change>
NVFP4CAL_HD inline void gptq_list_changes(const GptqRows& rows, int64_t row, int64_t columns, Change&& change, uint32_t* changed) {
  uint8_t* const list = rows.list + row * num::kGptqGroup;
  int n = 0;
  for (int i = 0; i < columns; ++i) {
    if (change(i) != 0.0f) list[n++] = static_cast<uint8_t>(i);
  }
  rows.list_size[row] = static_cast<uint8_t>(n);
  if (n > 0) add(changed, static_cast<uint32_t>(n));
}

// weights and moving: the caller's elements by places, times the slice's factor (or as they are); zeros beyond.
struct GptqLoad {
  static constexpr int kThreads = 256;
  TensorView x;
  GptqRows to;
  bool scaled;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t at = index.block * kThreads + index.thread, row = at / to.padded, place = at % to.padded;
    if (row >= to.chunks * num::kGptqRows) return;
    const int64_t chunk = row / num::kGptqRows, given = to.given_row(row);
    float value = 0.0f;
    if (given >= 0 && place < to.cols) {
      value = value_at(x, given * to.cols + gptq_column(to.hessian(chunk), place));
      if (scaled) value = static_cast<float>(static_cast<double>(value) * to.slice(chunk).factor);
    }
    to.weights[at] = to.moving[at] = value;
  }
};

// out = moving, by columns.
struct GptqUnload {
  static constexpr int kThreads = 256;
  GptqRows from;
  float* out;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t at = index.block * kThreads + index.thread, row = at / from.cols, place = at % from.cols;
    if (row >= from.chunks * num::kGptqRows) return;
    const int64_t given = from.given_row(row);
    if (given < 0) return;
    out[given * from.cols + gptq_column(from.hessian(row / num::kGptqRows), place)] = from.moving[row * from.padded + place];
  }
};

// errors of rounding to nearest with scales from the blocks' magnitudes, a thread a block.
struct GptqNearest {
  static constexpr int kThreads = 128;
  GptqRows rows;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t at = index.block * kThreads + index.thread, row = at / rows.blocks();
    if (row >= rows.chunks * num::kGptqRows) return;
    const int64_t first = row * rows.padded + at % rows.blocks() * num::kGptqBlock;
    const float global_scale = rows.slice(row / num::kGptqRows).global_scale;
    float weights[num::kGptqBlock], largest = 0.0f;
    NVFP4CAL_UNROLL
    for (int i = 0; i < num::kGptqBlock; ++i) {
      weights[i] = rows.weights[first + i];
      largest = fmaxf(largest, num::abs_of(weights[i]));
    }
    const float scale = num::gptq_scale(num::gptq_max_code(largest, global_scale), global_scale);
    NVFP4CAL_UNROLL
    for (int i = 0; i < num::kGptqBlock; ++i) rows.errors[first + i] = num::gptq_nearest_error(weights[i], scale);
  }
};

// What an element adds to the objective.
enum class GptqTerm : int32_t { kNearest, kRounded, kGradient };

// The sum of a chunk's terms, a block of threads a chunk: each thread has every 256th column, then they are added in order.
struct GptqObjective {
  static constexpr int kThreads = 256;
  struct Shared {
    double sums[kThreads];
  };
  struct Thread {};
  GptqRows rows;
  GptqTerm term;
  double* out;  // of the first chunk
  int64_t step;

  NVFP4CAL_HD int phases() const { return 2; }

  NVFP4CAL_HD void phase(int phase, const Index& index, Shared& shared, Thread&) const {
    if (phase == 0) {
      shared.sums[index.thread] = sum(index.block, index.thread);
    } else if (index.thread == 0) {
      double total = 0.0;
      for (int t = 0; t < kThreads; ++t) total += shared.sums[t];
      out[index.block * step] = total;
    }
  }

 private:
  NVFP4CAL_HD double sum(int64_t chunk, int thread) const {
    const float* const pivots = rows.hessian(chunk).pivots;
    double total = 0.0;
    for (int64_t place = thread; place < rows.cols; place += kThreads) {
      const double pivot = pivots[place];
      for (int64_t row = 0; row < num::kGptqRows; ++row) total += at((chunk * num::kGptqRows + row) * rows.padded + place, pivot);
    }
    return total;
  }
  NVFP4CAL_HD double at(int64_t i, double pivot) const {
    const double error = rows.errors[i], moving = rows.moving[i];
    if (term == GptqTerm::kGradient) return error * moving;
    const double off = term == GptqTerm::kNearest ? error + moving : (static_cast<double>(rows.weights[i]) + error) - moving;
    return off * off * pivot;
  }
};

// Nibbles and scale codes, a thread a block.
struct GptqStore {
  static constexpr int kThreads = 128;
  GptqRows rows;
  uint8_t *packed, *scales;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t blocks = rows.blocks(), at = index.block * kThreads + index.thread, row = at / blocks, b = at % blocks;
    if (row >= rows.chunks * num::kGptqRows) return;
    const int64_t given = rows.given_row(row), chunk = row / num::kGptqRows;
    if (given < 0) return;
    const float reciprocal = 1.0f / num::gptq_scale(rows.codes[at], rows.slice(chunk).global_scale);
    const int64_t first = row * rows.padded + b * num::kGptqBlock, block = given * blocks + rows.hessian(chunk).order[b];
    uint32_t words[2] = {0, 0};
    NVFP4CAL_UNROLL
    for (int i = 0; i < num::kGptqBlock; ++i) {
      const uint32_t nibble = num::gptq_nibble(rows.weights[first + i], rows.errors[first + i], reciprocal);
      words[i / 8] |= nibble << (i % 8 * 4);
    }
    // no code needs a scale: that of blocks of zeros everywhere
    scales[block] = (words[0] | words[1]) == 0 ? num::kE4m3One : rows.codes[at];
    uint32_t* const to = reinterpret_cast<uint32_t*>(packed) + block * 2;
    require_aligned<sizeof *to>(to);
    to[0] = words[0];
    to[1] = words[1];
  }
};

}  // namespace nvfp4cal::cuda
