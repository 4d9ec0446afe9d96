// A group of 128 columns of 32 rows, block by block: rounded with errors passed on inside the group, or moved level by level.
#pragma once

#include "kernels/gptq.cuh"

namespace nvfp4cal::cuda {

// 16 columns by rows in shared memory, a row a lane; rows lie apart by one more than there are, so that neither direction meets a bank twice.
template <int kRows>
using GptqLanes = float[num::kGptqBlock][kRows + 1];

// What a row of a block is read from, for num::gptq_round_columns and num::gptq_descend_columns.
template <class Shared>
struct GptqRoundingRow {
  Shared& shared;
  int row, place;  // the block's first column in the group
  bool keeps;

  NVFP4CAL_HD float target(int i) const { return shared.moving[place + i][row]; }
  NVFP4CAL_HD float weight(int i) const { return shared.weights[i][row]; }
  NVFP4CAL_HD float pivot(int i) const { return shared.diagonal[i]; }
  NVFP4CAL_HD float feedback(int i, int j) const { return shared.factor[place + j][i]; }
  NVFP4CAL_HD void keep(int i, float error) const {
    if (keeps) shared.errors[i][row] = error;
  }
};

template <class Shared>
struct GptqDescentRow {
  Shared& shared;
  int row, place;

  NVFP4CAL_HD float gradient(int i) const { return shared.moving[place + i][row]; }
  NVFP4CAL_HD float weight(int i) const { return shared.weights[i][row]; }
  NVFP4CAL_HD float error(int i) const { return shared.errors[i][row]; }
  NVFP4CAL_HD float reciprocal(int i) const { return shared.diagonal[i]; }
  NVFP4CAL_HD float hessian(int i, int j) const { return shared.factor[place + j][i]; }
  NVFP4CAL_HD void keep(int i, float error, float change) const {
    shared.errors[i][row] = error;
    shared.changes[place + i][row] = change;
  }
};

// What both kernels of a group do alike.
struct GptqGroupOfColumns {
  static constexpr int kThreads = 256, kCtasPerSm = 2, kRows = 32;
  static constexpr int kFactorStride = num::kGptqBlock + 4;  // keeps columns aligned to four floats
  static constexpr int64_t kParts = num::kGptqRows / kRows;  // of a chunk
  GptqRows rows;
  int64_t begin, columns;  // of the group

  NVFP4CAL_HD int64_t row_at(int64_t part, int row) const { return part * kRows + row; }

  // lanes[column][row] from or to an array of rows
  template <class Lanes>
  NVFP4CAL_HD void load(int t, const float* from, int64_t part, Lanes& to) const {
    for (int i = t; i < num::kGptqGroup * kRows; i += kThreads) {
      const int column = i % num::kGptqGroup, row = i / num::kGptqGroup;
      if (column < columns) to[column][row] = from[row_at(part, row) * rows.padded + begin + column];
    }
  }
  template <class Lanes>
  NVFP4CAL_HD void store(int t, const Lanes& from, int64_t part, float* to) const {
    for (int i = t; i < num::kGptqGroup * kRows; i += kThreads) {
      const int column = i % num::kGptqGroup, row = i / num::kGptqGroup;
      if (column < columns) to[row_at(part, row) * rows.padded + begin + column] = from[column][row];
    }
  }
  NVFP4CAL_HD void load_block(int t, const float* from, int64_t part, int place, GptqLanes<kRows>& to) const {
    for (int i = t; i < num::kGptqBlock * kRows; i += kThreads) {
      const int column = i % num::kGptqBlock, row = i / num::kGptqBlock;
      to[column][row] = from[row_at(part, row) * rows.padded + begin + place + column];
    }
  }
  NVFP4CAL_HD void store_block(int t, const GptqLanes<kRows>& from, int64_t part, int place, float* to) const {
    for (int i = t; i < num::kGptqBlock * kRows; i += kThreads) {
      const int column = i % num::kGptqBlock, row = i / num::kGptqBlock;
      to[row_at(part, row) * rows.padded + begin + place + column] = from[column][row];
    }
  }
  // factor[column][i]: the rows of the block's columns in a matrix, from `first` on to the group's end.
  template <class Row, class Factor>
  NVFP4CAL_HD void load_factor(int t, int first, Row&& row_of, Factor& factor) const {
    for (int i = t; i < num::kGptqBlock * num::kGptqGroup; i += kThreads) {
      const int column = i % num::kGptqGroup, term = i / num::kGptqGroup;
      if (column < first || column >= columns) continue;
      const int64_t place = begin + column;
      factor[column][term] = row_of(place / kGptqPanel, term)[place % kGptqPanel];
    }
  }
  // moving[column] of a row += or -= the sum of terms times the factor, for every eighth column from `first` on.
  template <class Terms, class Lanes, class Factor>
  NVFP4CAL_HD void add_products(int t, int first, const Terms& terms, const Factor& factor, bool subtract, Lanes& moving) const {
    const int row = t % kRows;
    float values[num::kGptqBlock];
    NVFP4CAL_UNROLL
    for (int i = 0; i < num::kGptqBlock; ++i) values[i] = terms[i][row];
    for (int column = first + t / kRows; column < columns; column += kThreads / kRows) {
      float sum = 0.0f;
      NVFP4CAL_UNROLL
      for (int i = 0; i < num::kGptqBlock; i += 4) {
        const Four four = four_at(&factor[column][i]);
        NVFP4CAL_UNROLL
        for (int k = 0; k < 4; ++k) sum = fmaf(values[i + k], four.at[k], sum);
      }
      moving[column][row] = subtract ? moving[column][row] - sum : moving[column][row] + sum;
    }
  }
};

// GPTQ's rounding of the group: moving are the targets, errors and codes are written.
struct GptqRoundGroup : GptqGroupOfColumns {
  static constexpr int kCandidates = num::kGptqRounding.below + num::kGptqRounding.above + 1;
  struct Shared {
    alignas(16) float factor[num::kGptqGroup][kFactorStride];
    float moving[num::kGptqGroup][kRows + 1];
    GptqLanes<kRows> weights, errors;
    float diagonal[num::kGptqBlock];
    float losses[kCandidates][kRows];
    int around[kRows], codes[kRows];
  };
  struct Lane {};

  template <class Cta>
  NVFP4CAL_HD void operator()(Cta& cta, Shared& shared) const {
    const int64_t part = cta.index(), chunk = part / kParts;
    const GptqParts& hessian = rows.hessian(chunk);
    const float global_scale = rows.slice(chunk).global_scale;
    cta.each([&](int t) { load(t, rows.moving, part, shared.moving); });
    for (int place = 0; place < columns; place += num::kGptqBlock) {
      cta.each([&](int t) {
        load_block(t, rows.weights, part, place, shared.weights);
        load_factor(
            t, place,
            [&](int64_t panel, int term) { return hessian.feedback + gptq_panel_offset(panel) + (begin + place + term) * kGptqPanel; },
            shared.factor);
        if (t < num::kGptqBlock) shared.diagonal[t] = hessian.pivots[begin + place + t];
        if (t < kRows) shared.around[t] = max_code(shared, place, t, global_scale);
      });
      cta.each([&](int t) {
        for (int i = t; i < kCandidates * kRows; i += kThreads) try_code(shared, place, i / kRows, i % kRows, global_scale);
      });
      cta.each([&](int t) {
        if (t < kRows) keep_best(shared, place, t, global_scale);
      });
      cta.each([&](int t) {
        add_products(t, place, shared.errors, shared.factor, true, shared.moving);
        store_block(t, shared.errors, part, place, rows.errors);
        if (t < kRows) {
          rows.codes[row_at(part, t) * rows.blocks() + (begin + place) / num::kGptqBlock] = static_cast<uint8_t>(shared.codes[t]);
        }
      });
    }
    cta.each([&](int t) { store(t, shared.moving, part, rows.moving); });
  }

 private:
  static NVFP4CAL_HD int max_code(const Shared& shared, int place, int row, float global_scale) {
    float largest = 0.0f;
    for (int i = 0; i < num::kGptqBlock; ++i) largest = fmaxf(largest, num::abs_of(shared.moving[place + i][row]));
    return num::gptq_max_code(largest, global_scale);
  }
  static NVFP4CAL_HD void try_code(Shared& shared, int place, int candidate, int row, float global_scale) {
    const int code = num::gptq_candidate(shared.around[row], candidate - num::kGptqRounding.below);
    shared.losses[candidate][row] =
        num::gptq_round_columns(GptqRoundingRow<Shared>{shared, row, place, false}, num::gptq_scale(code, global_scale));
  }
  static NVFP4CAL_HD void keep_best(Shared& shared, int place, int row, float global_scale) {
    int best = num::gptq_best_code(shared.around[row], num::kGptqRounding, [&](int candidate) { return shared.losses[candidate][row]; });
    shared.codes[row] = best;
    num::gptq_round_columns(GptqRoundingRow<Shared>{shared, row, place, true}, num::gptq_scale(best, global_scale));
  }
};

// One sweep of the descent over the group: moving are the gradients, errors change. changes, list and changed say how, for the other columns.
struct GptqDescendGroup : GptqGroupOfColumns {
  struct Shared {
    alignas(16) float factor[num::kGptqGroup][kFactorStride];
    float moving[num::kGptqGroup][kRows + 1];
    float changes[num::kGptqGroup][kRows + 1];
    GptqLanes<kRows> weights, errors;
    float diagonal[num::kGptqBlock];
    float scales[kRows];
  };
  struct Lane {};
  uint32_t* changed;  // [chunks]

  template <class Cta>
  NVFP4CAL_HD void operator()(Cta& cta, Shared& shared) const {
    const int64_t part = cta.index(), chunk = part / kParts;
    const GptqParts& hessian = rows.hessian(chunk);
    const float global_scale = rows.slice(chunk).global_scale;
    cta.each([&](int t) { load(t, rows.moving, part, shared.moving); });
    for (int place = 0; place < columns; place += num::kGptqBlock) {
      cta.each([&](int t) {
        load_block(t, rows.weights, part, place, shared.weights);
        load_block(t, rows.errors, part, place, shared.errors);
        load_factor(
            t, 0, [&](int64_t panel, int term) { return gptq_panel_row(hessian.matrix, hessian.padded, panel, begin + place + term); },
            shared.factor);
        if (t < num::kGptqBlock) shared.diagonal[t] = hessian.reciprocals[begin + place + t];
        if (t < kRows) {
          const int code = rows.codes[row_at(part, t) * rows.blocks() + (begin + place) / num::kGptqBlock];
          shared.scales[t] = num::gptq_scale(code, global_scale);
        }
      });
      cta.each([&](int t) {
        if (t < kRows) num::gptq_descend_columns(GptqDescentRow<Shared>{shared, t, place}, shared.scales[t]);
      });
      cta.each([&](int t) {
        add_products(t, 0, &shared.changes[place], shared.factor, false, shared.moving);
        store_block(t, shared.errors, part, place, rows.errors);
      });
    }
    cta.each([&](int t) {
      store(t, shared.moving, part, rows.moving);
      for (int i = t; i < num::kGptqGroup * kRows; i += kThreads) {
        const int column = i % num::kGptqGroup, row = i / num::kGptqGroup;
        if (column < columns) rows.changes[row_at(part, row) * num::kGptqGroup + column] = shared.changes[column][row];
      }
      if (t < kRows)
        gptq_list_changes(
            rows, row_at(part, t), columns, [&](int i) { return shared.changes[i][t]; }, changed + chunk);
    });
  }
};

}  // namespace nvfp4cal::cuda
