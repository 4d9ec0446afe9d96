// Neighbourhoods of up to eight blocks of 16 rows, rounded anew with everything else fixed; docs/gptq.md, step 3.
#pragma once

#include "kernels/gptq_blocks.cuh"

namespace nvfp4cal::cuda {

// A thread block has 16 rows of a chunk. Columns are the group's, in its order. Rows that gain take the outcome over; changes are their columns in order
// inside blocks, for the gradients of all columns.
struct GptqSearchGroup {
  static constexpr int kThreads = 256, kCtasPerSm = 2, kRows = 16;
  static constexpr int64_t kParts = num::kGptqRows / kRows;
  static constexpr int kColumnsEach = num::kGptqGroup * kRows / kThreads;
  static constexpr int kCandidates = num::kGptqNeighbourhood.below + num::kGptqNeighbourhood.above + 1;
  static_assert(kCandidates * kRows <= kThreads);  // a thread tries one
  using Lanes = float[num::kGptqGroup][kRows + 1];
  struct Shared {
    Lanes weights, errors, gradients;      // as they are
    Lanes targets, found, moved, changes;  // found: errors
    float losses[kCandidates][kRows];
    int codes[num::kGptqGroup / num::kGptqBlock][kRows];
    float scales[kRows];
    int takes[kRows];
  };
  struct Lane {};
  GptqRows rows;
  int64_t group_index;
  uint32_t* changed;  // [chunks]

  template <class Cta>
  NVFP4CAL_HD void operator()(Cta& cta, Shared& shared) const {
    const int64_t part = cta.index(), chunk = part / kParts;
    const GptqParts& hessian = rows.hessian(chunk);
    if (group_index >= hessian.group_count) return;
    const GptqGroupParts& group = hessian.groups[group_index];
    const float global_scale = rows.slice(chunk).global_scale;
    cta.each([&](int t) { collect(t, part, group, shared); });
    round(cta, part, group, global_scale, shared);
    descend(cta, group, global_scale, shared);
    cta.each([&](int t) {
      if (t < kRows) shared.takes[t] = gain(shared, static_cast<int>(group.size), t) < 0.0;
    });
    cta.each([&](int t) { take_over(t, part, group, shared); });
    cta.each([&](int t) {
      if (t >= kRows) return;
      const int64_t row = part * kRows + t;
      gptq_list_changes(
          rows, row, group.size, [&](int i) { return shared.changes[i][t]; }, changed + chunk);
    });
  }

 private:
  NVFP4CAL_HD uint8_t& code_at(int64_t part, const GptqGroupParts& group, int block, int row) const {
    return rows.codes[(part * kRows + row) * rows.blocks() + group.places[block * num::kGptqBlock] / num::kGptqBlock];
  }

  NVFP4CAL_HD void collect(int t, int64_t part, const GptqGroupParts& group, Shared& shared) const {
    for (int i = t; i < num::kGptqGroup * kRows; i += kThreads) {
      const int column = i % num::kGptqGroup, row = i / num::kGptqGroup;
      if (column >= group.size) continue;
      const int64_t at = (part * kRows + row) * rows.padded + group.places[column];
      shared.weights[column][row] = shared.targets[column][row] = rows.weights[at];
      shared.errors[column][row] = rows.errors[at];
      shared.gradients[column][row] = shared.moved[column][row] = rows.moving[at];
    }
  }

  // to[column] of a row += or -= matrix [size, size], rows first .. first + depth, times lanes, for eight columns of a thread, from `from` on.
  static NVFP4CAL_HD void multiply(int t, const float* matrix, int64_t size, int first, int depth, int from,
                                   const float (*lanes)[kRows + 1], bool subtract, Lanes& to) {
    const int row = t % kRows, column = t / kRows * kColumnsEach;
    if (column < from || column >= size) return;
    float sums[kColumnsEach] = {};
    for (int k = 0; k < depth; ++k) {
      const float* const factors = matrix + (first + k) * size + column;
      const float value = lanes[k][row];
      const Four left = four_at(factors), right = four_at(factors + 4);
      NVFP4CAL_UNROLL
      for (int i = 0; i < 4; ++i) {
        sums[i] = fmaf(left.at[i], value, sums[i]);
        sums[4 + i] = fmaf(right.at[i], value, sums[4 + i]);
      }
    }
    NVFP4CAL_UNROLL
    for (int i = 0; i < kColumnsEach; ++i) to[column + i][row] = subtract ? to[column + i][row] - sums[i] : to[column + i][row] + sums[i];
  }

  // The targets are the weights, moved by what the other columns' errors pull.
  template <class Cta>
  NVFP4CAL_HD void round(Cta& cta, int64_t part, const GptqGroupParts& group, float global_scale, Shared& shared) const {
    const int size = static_cast<int>(group.size);
    cta.each([&](int t) { multiply(t, group.matrix, size, 0, size, 0, shared.errors, true, shared.moved); });
    cta.each([&](int t) { multiply(t, group.pull, size, 0, size, 0, shared.moved, true, shared.targets); });
    for (int b = 0; b < size / num::kGptqBlock; ++b) {
      const int place = b * num::kGptqBlock;
      cta.each([&](int t) {
        if (t >= kCandidates * kRows) return;
        const int code = num::gptq_candidate(code_at(part, group, b, t % kRows), t / kRows - num::kGptqNeighbourhood.below);
        shared.losses[t / kRows][t % kRows] =
            num::gptq_round_columns(RoundingRow{shared, group, t % kRows, place, false}, num::gptq_scale(code, global_scale));
      });
      cta.each([&](int t) {
        if (t >= kRows) return;
        const int best = num::gptq_best_code(code_at(part, group, b, t), num::kGptqNeighbourhood,
                                             [&](int candidate) { return shared.losses[candidate][t]; });
        shared.codes[b][t] = best;
        num::gptq_round_columns(RoundingRow{shared, group, t, place, true}, num::gptq_scale(best, global_scale));
      });
      cta.each([&](int t) {
        multiply(t, group.feedback, size, place, num::kGptqBlock, place + num::kGptqBlock, &shared.found[place], true, shared.targets);
      });
    }
  }

  template <class Cta>
  NVFP4CAL_HD void descend(Cta& cta, const GptqGroupParts& group, float global_scale, Shared& shared) const {
    const int size = static_cast<int>(group.size);
    cta.each([&](int t) {
      for (int i = t; i < size * kRows; i += kThreads) {
        const int column = i / kRows, row = i % kRows;
        shared.changes[column][row] = shared.found[column][row] - shared.errors[column][row];
        shared.moved[column][row] = shared.gradients[column][row];
      }
    });
    cta.each([&](int t) { multiply(t, group.matrix, size, 0, size, 0, shared.changes, false, shared.moved); });
    for (int b = 0; b < size / num::kGptqBlock; ++b) {
      const int place = b * num::kGptqBlock;
      cta.each([&](int t) {
        if (t < kRows) num::gptq_descend_columns(DescentRow{shared, group, t, place}, num::gptq_scale(shared.codes[b][t], global_scale));
      });
      cta.each([&](int t) { multiply(t, group.matrix, size, place, num::kGptqBlock, 0, &shared.changes[place], false, shared.moved); });
    }
  }

  static NVFP4CAL_HD double gain(const Shared& shared, int size, int row) {
    double sum = 0.0;
    for (int i = 0; i < size; ++i) {
      const double change = static_cast<double>(shared.found[i][row]) - static_cast<double>(shared.errors[i][row]);
      sum += change * (static_cast<double>(shared.gradients[i][row]) + static_cast<double>(shared.moved[i][row]));
    }
    return sum;
  }

  NVFP4CAL_HD void take_over(int t, int64_t part, const GptqGroupParts& group, Shared& shared) const {
    for (int i = t; i < num::kGptqGroup * kRows; i += kThreads) {
      const int column = i % num::kGptqGroup, row = i / num::kGptqGroup;
      if (column >= group.size) continue;
      const int place = group.places[column], ordered = column / num::kGptqBlock * num::kGptqBlock + place % num::kGptqBlock;
      const float found = shared.found[column][row], change = shared.takes[row] ? found - shared.errors[column][row] : 0.0f;
      shared.changes[ordered][row] = change;
      rows.changes[(part * kRows + row) * num::kGptqGroup + ordered] = change;
      if (shared.takes[row]) rows.errors[(part * kRows + row) * rows.padded + place] = found;
    }
    for (int i = t; i < group.size / num::kGptqBlock * kRows; i += kThreads) {
      const int block = i / kRows, row = i % kRows;
      if (shared.takes[row]) code_at(part, group, block, row) = static_cast<uint8_t>(shared.codes[block][row]);
    }
  }

  struct RoundingRow {
    Shared& shared;
    const GptqGroupParts& group;
    int row, place;
    bool keeps;

    NVFP4CAL_HD float target(int i) const { return shared.targets[place + i][row]; }
    NVFP4CAL_HD float weight(int i) const { return shared.weights[place + i][row]; }
    NVFP4CAL_HD float pivot(int i) const { return group.pivots[place + i]; }
    NVFP4CAL_HD float feedback(int i, int j) const { return group.feedback[(place + i) * group.size + place + j]; }
    NVFP4CAL_HD void keep(int i, float error) const {
      if (keeps) shared.found[place + i][row] = error;
    }
  };

  struct DescentRow {
    Shared& shared;
    const GptqGroupParts& group;
    int row, place;

    NVFP4CAL_HD float gradient(int i) const { return shared.moved[place + i][row]; }
    NVFP4CAL_HD float weight(int i) const { return shared.weights[place + i][row]; }
    NVFP4CAL_HD float error(int i) const { return shared.found[place + i][row]; }
    NVFP4CAL_HD float reciprocal(int i) const { return group.reciprocals[place + i]; }
    NVFP4CAL_HD float hessian(int i, int j) const { return group.matrix[(place + i) * group.size + place + j]; }
    NVFP4CAL_HD void keep(int i, float error, float change) const {
      shared.found[place + i][row] = error;
      shared.changes[place + i][row] = change;
    }
  };
};

}  // namespace nvfp4cal::cuda
