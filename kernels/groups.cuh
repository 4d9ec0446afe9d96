// Groups of elements that share a scale (core/ops.h, GroupLayout): smallest and largest elements, and the search for the range of least error.
#pragma once

#include "core/device_ops.h"
#include "kernels/atomics.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"
#include "num/lane_sum.h"
#include "num/ordered.h"
#include "num/range_error.h"

namespace nvfp4cal::cuda {

// x as rows of runs: what a row has of a column group.
struct Runs {
  TensorView x;
  GroupLayout layout;
  int64_t elements, rows, col_groups;

  explicit Runs(const TensorView& view, const GroupLayout& groups)
      : x(view), layout(groups), elements(view.elements()), rows(ceil_div(elements, groups.cols)), col_groups(groups.col_groups()) {}

  NVFP4CAL_HD int64_t group_of(int64_t row, int64_t col_group) const {
    return row / layout.row_span % layout.row_groups * col_groups + col_group;
  }
  NVFP4CAL_HD int64_t length(int64_t row, int64_t col_group) const {
    const int64_t left = elements - row * layout.cols, in_row = left < layout.cols ? left : layout.cols;
    const int64_t after = in_row - col_group * layout.width;
    return after < 0 ? 0 : after < layout.width ? after : layout.width;
  }
  // Flat index of a place of a row.
  NVFP4CAL_HD int64_t flat(int64_t row, int64_t place) const {
    return row * layout.cols + (layout.columns ? layout.columns[place] : place);
  }
};

// A thread takes a piece of a run.
struct GroupRange {
  static constexpr int kThreads = 256;
  static constexpr int64_t kPiece = 64;
  Runs runs;
  uint32_t *least, *largest;
  DeviceCheck* check;

  NVFP4CAL_HD int64_t pieces() const { return ceil_div(runs.layout.width, kPiece); }
  NVFP4CAL_HD int64_t threads() const { return runs.rows * runs.col_groups * pieces(); }

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t t = index.block * kThreads + index.thread;
    if (t >= threads()) return;
    const int64_t run = t / pieces(), row = run / runs.col_groups, col_group = run % runs.col_groups;
    const int64_t n = runs.length(row, col_group), first = t % pieces() * kPiece, last = first + kPiece < n ? first + kPiece : n;
    if (first >= last) return;
    uint32_t low = 0, high = 0;
    for (int64_t i = first; i < last; ++i) {
      const int64_t at = runs.flat(row, col_group * runs.layout.width + i);
      const float value = value_at(runs.x, at);
      if (!num::is_finite(value)) keep_min(&check->first_bad, static_cast<uint64_t>(at));
      const uint32_t key = num::order_key(value);
      high = key > high ? key : high;
      low = ~key > low ? ~key : low;
    }
    const int64_t group = runs.group_of(row, col_group);
    keep_max(&least[group], low);
    keep_max(&largest[group], high);
  }
};

// The sum of each run's errors at one step: eight threads a run, a lane each.
struct RunErrors {
  static constexpr int kThreads = 256;
  static constexpr int kRuns = kThreads / num::kSumLanes;
  struct Shared {
    double lanes[kThreads];
  };
  struct Thread {};
  Runs runs;
  num::RangeRule rule;
  float factor;
  double norm;
  const float *min, *max;
  double* sums;  // [rows, col_groups]

  NVFP4CAL_HD int64_t blocks() const { return ceil_div(runs.rows * runs.col_groups, kRuns); }
  NVFP4CAL_HD int phases() const { return 2; }

  NVFP4CAL_HD void phase(int phase, const Index& index, Shared& shared, Thread&) const {
    const int lane = index.thread % num::kSumLanes;
    const int64_t run = index.block * kRuns + index.thread / num::kSumLanes;
    if (run >= runs.rows * runs.col_groups) return;
    if (phase == 0) {
      shared.lanes[index.thread] = lane_sum(run / runs.col_groups, run % runs.col_groups, lane);
    } else if (lane == 0) {
      sums[run] = num::joined(shared.lanes + index.thread);
    }
  }

 private:
  NVFP4CAL_HD double lane_sum(int64_t row, int64_t col_group, int lane) const {
    const int64_t group = runs.group_of(row, col_group), n = runs.length(row, col_group);
    const num::RangeScale scale = num::search_range_scale(min[group], max[group], factor, rule);
    double sum = 0.0;
    for (int64_t i = lane; i < n; i += num::kSumLanes) {
      const float value = value_at(runs.x, runs.flat(row, col_group * runs.layout.width + i));
      sum += num::range_error(rule.format, value, scale, norm);
    }
    return sum;
  }
};

// Compares the sum of a group with its best one, a thread a group. A group's runs are added in order within parts, then the parts in order.
struct DecideStep {
  static constexpr int kThreads = 128;
  Runs runs;
  GroupParts parts;
  int32_t step;
  const double* sums;  // RunErrors'
  GroupBest* best;
  uint32_t* improved;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t group = index.block * kThreads + index.thread;
    if (group >= runs.layout.row_groups * runs.col_groups || best[group].error == 0.0) return;
    const double error = sum_of(group / runs.col_groups, group % runs.col_groups);
    if (!(error < best[group].error)) return;
    best[group] = {error, step, true};
    keep_max(improved, 1u);
  }

 private:
  NVFP4CAL_HD double sum_of(int64_t row_group, int64_t col_group) const {
    double all = 0.0;
    for (int64_t first = row_group * runs.layout.row_span; first < runs.rows; first += parts.step) {
      const int64_t last = first + parts.rows < runs.rows ? first + parts.rows : runs.rows;
      double part = 0.0;
      for (int64_t row = first; row < last; ++row) part += sums[row * runs.col_groups + col_group];
      all += part;
    }
    return all;
  }
};

}  // namespace nvfp4cal::cuda
