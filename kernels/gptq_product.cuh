// Products that carry errors and changes to other columns: float32, fused, each element's terms in the order that the CPU has.
#pragma once

#include "kernels/gptq.cuh"

namespace nvfp4cal::cuda {

// The matrix that rows are multiplied with.
enum class GptqFactor : int32_t { kFeedback, kMatrix, kShift };

// Which of its rows are a product's terms, and which of its panels are wanted.
struct GptqTerms {
  GptqFactor factor;
  int64_t begin, depth;     // places begin .. begin + depth, in runs of 128
  int group;                // below 0, or instead of those: the places of that neighbourhood, blocks in its order
  int64_t skip, skip_end;   // panels that are left out
  const uint32_t* changed;  // NULL, or [chunks]: products of few terms are not done here, of none nowhere

  NVFP4CAL_HD int64_t panel(int64_t i) const { return i < skip ? i : i + (skip_end - skip); }
  NVFP4CAL_HD int64_t count(const GptqParts& hessian) const {
    if (group < 0) return depth;
    return hessian.groups[group].size;  // where something has changed there is such a group
  }
  NVFP4CAL_HD int64_t place(const GptqParts& hessian, int64_t i) const {
    if (group < 0) return begin + i;
    const int64_t of_block = i / num::kGptqBlock * num::kGptqBlock;
    return hessian.groups[group].places[of_block] / num::kGptqBlock * num::kGptqBlock + (i - of_block);
  }
  // Whether a sum ends before term i, a multiple of 16 (linalg.h of the CPU: after 128 terms, or where places do not follow each other).
  NVFP4CAL_HD bool ends(const GptqParts& hessian, int64_t i) const {
    if (i >= count(hessian)) return true;
    return group < 0 ? i % num::kGptqGroup == 0 : place(hessian, i) != place(hessian, i - 1) + 1;
  }
  // The row of a term in a panel, or NULL: zeros.
  NVFP4CAL_HD const float* row(const GptqParts& hessian, int64_t panel, int64_t i) const {
    const int64_t at = place(hessian, i);
    if (factor == GptqFactor::kMatrix) return gptq_panel_row(hessian.matrix, hessian.padded, panel, at);
    if (factor == GptqFactor::kShift) return gptq_panel_row(hessian.shift, hessian.padded, panel, at);
    return at < kGptqPanel * (panel + 1) ? hessian.feedback + gptq_panel_offset(panel) + at * kGptqPanel : nullptr;
  }
  NVFP4CAL_HD bool is_few(const GptqParts& hessian, uint32_t n) const { return num::gptq_is_few(n, count(hessian) * num::kGptqRows); }
};

// moving += or -= left times the factor, for a chunk and a panel: 64 x 64 elements of a block of threads, 8 x 4 of each.
struct GptqProduct {
  static constexpr int kThreads = 128;
  static constexpr int kDepth = 32;  // terms in shared memory at a time
  static constexpr int kTile = static_cast<int>(kGptqPanel), kRowsEach = 8, kColumnsEach = 4;
  static constexpr int kStride = kTile + 4;  // keeps rows aligned to four floats, and writes of a warp apart
  static_assert(kTile == num::kGptqRows && kThreads * kRowsEach * kColumnsEach == kTile * kTile);
  struct Shared {
    alignas(16) float left[kDepth][kStride];
    alignas(16) float right[kDepth][kTile];
  };
  struct Thread {
    float c[kRowsEach][kColumnsEach], sums[kRowsEach][kColumnsEach];
  };
  GptqRows rows;
  GptqTerms terms;
  const float* left;  // [rows, left_stride], a term a column
  int64_t left_stride;
  bool from_zero, subtract;

  NVFP4CAL_HD int phases() const { return 2 * static_cast<int>(ceil_div(terms.group < 0 ? terms.depth : num::kGptqGroup, kDepth)); }

  NVFP4CAL_HD void phase(int phase, const Index& index, Shared& shared, Thread& thread) const {
    const int64_t chunk = index.block % rows.chunks, panel = terms.panel(index.block / rows.chunks);
    const GptqParts& hessian = rows.hessian(chunk);
    const uint32_t changed = terms.changed ? terms.changed[chunk] : 0;
    if (terms.changed && (changed == 0 || terms.is_few(hessian, changed))) return;
    const int64_t count = terms.count(hessian), first = int64_t{phase / 2} * kDepth;
    if (phase == 0 && !from_zero) load_tile(chunk, panel, index.thread, thread);
    if (phase % 2 == 0) {
      load_left(chunk, first, count, index.thread, shared);
      load_right(hessian, panel, first, count, index.thread, shared);
      return;
    }
    for (int half = 0; half < kDepth / num::kGptqBlock; ++half) {
      const int64_t at = first + half * num::kGptqBlock;
      if (at >= count) break;
      add(half * num::kGptqBlock, index.thread, shared, thread);
      if (terms.ends(hessian, at + num::kGptqBlock)) end_sums(thread);
    }
    if (phase + 1 == phases()) store_tile(chunk, panel, index.thread, thread);
  }

 private:
  NVFP4CAL_HD float* tile_at(int64_t chunk, int64_t panel, int t) const {
    return rows.moving + (chunk * num::kGptqRows + t / 16 * kRowsEach) * rows.padded + panel * kGptqPanel + t % 16 * kColumnsEach;
  }
  NVFP4CAL_HD void load_tile(int64_t chunk, int64_t panel, int t, Thread& thread) const {
    const float* const from = tile_at(chunk, panel, t);
    NVFP4CAL_UNROLL
    for (int r = 0; r < kRowsEach; ++r) {
      const Four four = four_at(from + r * rows.padded);
      NVFP4CAL_UNROLL
      for (int k = 0; k < kColumnsEach; ++k) thread.c[r][k] = four.at[k];
    }
  }
  NVFP4CAL_HD void store_tile(int64_t chunk, int64_t panel, int t, const Thread& thread) const {
    float* const to = tile_at(chunk, panel, t);
    NVFP4CAL_UNROLL
    for (int r = 0; r < kRowsEach; ++r) {
      Four four;
      NVFP4CAL_UNROLL
      for (int k = 0; k < kColumnsEach; ++k) four.at[k] = thread.c[r][k];
      four_at(to + r * rows.padded) = four;
    }
  }
  // Two threads read 32 bytes of a row, a warp 16 rows: what is read is used, and what is written lies in different banks.
  NVFP4CAL_HD void load_left(int64_t chunk, int64_t first, int64_t count, int t, Shared& shared) const {
    const int row = t / 2;
    const float* const from = left + (chunk * num::kGptqRows + row) * left_stride + first;
    NVFP4CAL_UNROLL
    for (int part = 0; part < kDepth / 8; ++part) {
      const int k = part * 8 + t % 2 * 4;
      Four four = {};
      if (first + k < count) four = four_at(from + k);
      NVFP4CAL_UNROLL
      for (int i = 0; i < 4; ++i) shared.left[k + i][row] = four.at[i];
    }
  }
  NVFP4CAL_HD void load_right(const GptqParts& hessian, int64_t panel, int64_t first, int64_t count, int t, Shared& shared) const {
    const int column = t % 16 * 4;
    NVFP4CAL_UNROLL
    for (int part = 0; part < kDepth / 8; ++part) {
      const int k = part * 8 + t / 16;
      Four four = {};
      if (first + k < count) {
        const float* const row = terms.row(hessian, panel, first + k);
        if (row) four = four_at(row + column);
      }
      four_at(&shared.right[k][column]) = four;
    }
  }
  // 16 terms.
  NVFP4CAL_HD void add(int from, int t, const Shared& shared, Thread& thread) const {
    NVFP4CAL_UNROLL
    for (int k = 0; k < num::kGptqBlock; ++k) {
      const Four up = four_at(&shared.left[from + k][t / 16 * kRowsEach]), down = four_at(&shared.left[from + k][t / 16 * kRowsEach + 4]);
      const Four right = four_at(&shared.right[from + k][t % 16 * kColumnsEach]);
      NVFP4CAL_UNROLL
      for (int r = 0; r < kRowsEach; ++r) {
        const float value = r < 4 ? up.at[r % 4] : down.at[r % 4];
        NVFP4CAL_UNROLL
        for (int c = 0; c < kColumnsEach; ++c) thread.sums[r][c] = fmaf(value, right.at[c], thread.sums[r][c]);
      }
    }
  }
  NVFP4CAL_HD void end_sums(Thread& thread) const {
    NVFP4CAL_UNROLL
    for (int r = 0; r < kRowsEach; ++r) {
      NVFP4CAL_UNROLL
      for (int k = 0; k < kColumnsEach; ++k) {
        thread.c[r][k] = subtract ? thread.c[r][k] - thread.sums[r][k] : thread.c[r][k] + thread.sums[r][k];
        thread.sums[r][k] = 0.0f;
      }
    }
  }
};

// moving += few changes of each row times the matrix, one after the other. A warp has every fourth row, a thread two columns of it.
struct GptqSpreadFew {
  static constexpr int kThreads = 128;
  GptqRows rows;
  GptqTerms terms;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t chunk = index.block % rows.chunks, panel = terms.panel(index.block / rows.chunks);
    const GptqParts& hessian = rows.hessian(chunk);
    const uint32_t changed = terms.changed[chunk];
    if (changed == 0 || !terms.is_few(hessian, changed)) return;
    const int column = index.thread % 32 * 2;
    for (int64_t row = chunk * num::kGptqRows + index.thread / 32; row < (chunk + 1) * num::kGptqRows; row += kThreads / 32) {
      const int n = rows.list_size[row];
      if (n == 0) continue;
      float* const c = rows.moving + row * rows.padded + panel * kGptqPanel + column;
      float left = c[0], right = c[1];
      for (int i = 0; i < n; ++i) {
        const int term = rows.list[row * num::kGptqGroup + i];
        const float value = rows.changes[row * num::kGptqGroup + term];
        const float* const from = terms.row(hessian, panel, term) + column;
        left = fmaf(value, from[0], left);
        right = fmaf(value, from[1], right);
      }
      c[0] = left;
      c[1] = right;
    }
  }
};

}  // namespace nvfp4cal::cuda
