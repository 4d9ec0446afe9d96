// What an observer is asked: see nvfp4cal_observer in the public header, whose constants these are.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ops.h"

namespace nvfp4cal::calib {

enum class ObserverKind : int32_t { kMemorylessMse = 0, kMse = 1, kMemorylessMinMax = 2, kMinMax = 3, kStaticMinMax = 4 };
enum class Observed : int32_t { kWeight = 0, kActivation = 1 };
enum class Strategy : int32_t { kTensor = 0, kChannel = 1, kGroup = 2, kBlock = 3, kTensorGroup = 4, kToken = 5 };

struct ObserverOptions {
  ObserverKind kind = ObserverKind::kMemorylessMse;
  Observed observed = Observed::kWeight;
  Strategy strategy = Strategy::kTensor;
  FakeFormat format = FakeFormat::kInt8;
  bool symmetric = true;
  bool optimize_global_scale = false;
  int32_t group_size = 0;  // 0: not set
  int32_t block_height = 0, block_width = 0;
  int32_t patience = 5;
  double maxshrink = 0.20, grid = 100.0, norm = 2.4, expand = 1.0;
  double averaging_constant = 0.01;
  float global_scale = 0.0f;   // 0: not given
  std::vector<int32_t> g_idx;  // empty: columns in order

  bool searches() const { return kind == ObserverKind::kMemorylessMse || kind == ObserverKind::kMse; }
  // A range of its own that the global scale comes from. Running ranges hold all that theirs would be made of.
  bool keeps_global_range() const { return optimize_global_scale && kind != ObserverKind::kStaticMinMax; }
  bool two_level() const { return strategy == Strategy::kTensorGroup; }
  bool operator==(const ObserverOptions&) const = default;
};

// Throw kInvalidArgument for values out of range, kUnsupported for combinations that mean nothing.
void check_values(const ObserverOptions& options);
void check_combination(const ObserverOptions& options);

// Which elements share a scale.
struct ObserverLayout {
  GroupLayout groups{};                           // its columns are below
  std::vector<int64_t> columns;                   // empty: in order
  std::vector<int64_t> shape;                     // of the ranges
  bool padded_rows = false, padded_cols = false;  // the last blocks reach beyond x: they see zeros
  int64_t count() const { return groups.row_groups * groups.col_groups(); }
  GroupLayout with_columns() const {
    GroupLayout out = groups;
    out.columns = columns.empty() ? nullptr : columns.data();
    return out;
  }
};
// Throws kInvalidArgument where x does not fit.
ObserverLayout layout_of(const TensorView& x, const ObserverOptions& options);
// All of x is one group.
ObserverLayout tensor_layout(const TensorView& x);

}  // namespace nvfp4cal::calib
