#include "calib/observer_options.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nvfp4cal::calib {

namespace {

void check_number(double value, double lo, double hi, const char* name) {
  if (!(value >= lo && value <= hi)) fail(Status::kInvalidArgument, "%s is %g, expected %g to %g", name, value, lo, hi);
}

void check_enum(int32_t value, int32_t last, const char* name) {
  if (value < 0 || value > last) fail(Status::kInvalidArgument, "%s %d is not known", name, value);
}

int64_t parts(int64_t extent, int64_t size) { return (extent + size - 1) / size; }

// Groups of `width` columns, in the order of the columns or of g_idx.
void set_columns(ObserverLayout& layout, int64_t cols, int64_t width, const std::vector<int32_t>& g_idx) {
  layout.groups.cols = cols;
  layout.groups.width = width;
  if (g_idx.empty()) return;
  if (static_cast<int64_t>(g_idx.size()) != cols)
    fail(Status::kInvalidArgument, "g_idx has %zu elements, x has %lld columns", g_idx.size(), ll(cols));
  layout.columns.resize(static_cast<size_t>(cols));
  std::iota(layout.columns.begin(), layout.columns.end(), int64_t{0});
  std::stable_sort(layout.columns.begin(), layout.columns.end(),
                   [&](int64_t a, int64_t b) { return g_idx[static_cast<size_t>(a)] < g_idx[static_cast<size_t>(b)]; });
}

// Each row of the last dimension has ranges of its own: a matrix, a stack of them, a vector.
void keep_rows(const TensorView& x, ObserverLayout& layout) {
  layout.groups.row_span = layout.groups.row_groups = 1;
  for (int d = 0; d + 1 < x.ndim; ++d) layout.groups.row_groups *= x.shape[d];
  layout.shape.assign(x.shape, x.shape + x.ndim - 1);
}

ObserverLayout channel_layout(const TensorView& x) {
  if (x.ndim == 0) fail(Status::kInvalidArgument, "x is a scalar, expected rows for channels");
  ObserverLayout layout;
  set_columns(layout, x.last(), std::max<int64_t>(x.last(), 1), {});
  keep_rows(x, layout);
  layout.shape.push_back(1);
  return layout;
}

// The last dimension but one, over all before it.
ObserverLayout token_layout(const TensorView& x) {
  if (x.ndim < 2) fail(Status::kInvalidArgument, "x of shape %s, expected [.., tokens, hidden]", x.shape_text().c_str());
  ObserverLayout layout;
  set_columns(layout, x.last(), std::max<int64_t>(x.last(), 1), {});
  layout.groups.row_span = 1;
  layout.groups.row_groups = x.shape[x.ndim - 2];
  layout.shape = {layout.groups.row_groups};
  return layout;
}

ObserverLayout group_layout(const TensorView& x, const ObserverOptions& options) {
  ObserverLayout layout;
  if (x.ndim == 0) fail(Status::kInvalidArgument, "x is a scalar, expected columns for groups");
  if (x.last() % options.group_size != 0) {
    fail(Status::kInvalidArgument, "x has %lld columns, not a multiple of the group size %d", ll(x.last()), options.group_size);
  }
  set_columns(layout, x.last(), options.group_size, options.g_idx);
  layout.groups.row_span = layout.groups.row_groups = 1;
  if (options.observed == Observed::kWeight) keep_rows(x, layout);
  layout.shape.push_back(layout.groups.col_groups());
  return layout;
}

ObserverLayout block_layout(const TensorView& x, const ObserverOptions& options) {
  if (x.ndim != 2) fail(Status::kInvalidArgument, "x of shape %s, expected a matrix for blocks", x.shape_text().c_str());
  ObserverLayout layout;
  set_columns(layout, x.shape[1], options.block_width, {});
  layout.groups.row_span = options.block_height;
  layout.groups.row_groups = parts(x.shape[0], options.block_height);
  layout.shape = {layout.groups.row_groups, layout.groups.col_groups()};
  layout.padded_rows = x.shape[0] % options.block_height != 0;
  layout.padded_cols = x.shape[1] % options.block_width != 0;
  return layout;
}

}  // namespace

void check_values(const ObserverOptions& options) {
  check_enum(static_cast<int32_t>(options.kind), 4, "observer kind");
  check_enum(static_cast<int32_t>(options.observed), 1, "observed tensor");
  check_enum(static_cast<int32_t>(options.strategy), 5, "strategy");
  check_enum(static_cast<int32_t>(options.format), 3, "format");
  if (options.group_size < 0) fail(Status::kInvalidArgument, "group size %d, expected 1 or more", options.group_size);
  if (options.block_height < 0 || options.block_width < 0 || (options.block_height == 0) != (options.block_width == 0)) {
    fail(Status::kInvalidArgument, "block structure [%d, %d], expected 1 or more", options.block_height, options.block_width);
  }
  if (options.patience < 1) fail(Status::kInvalidArgument, "patience is %d, expected 1 or more", options.patience);
  check_number(options.maxshrink, 0, 1, "maxshrink");
  check_number(options.grid, 1, 1e6, "grid");
  check_number(options.norm, 0.1, 16, "norm");
  check_number(options.expand, 0.01, 100, "expand");
  check_number(options.averaging_constant, 0, 1, "averaging constant");
  if (!(options.global_scale >= 0.0f) || std::isinf(options.global_scale)) {
    fail(Status::kInvalidArgument, "global scale is %g, expected a positive value, or 0 for none",
         static_cast<double>(options.global_scale));
  }
}

void check_combination(const ObserverOptions& options) {
  const bool weight = options.observed == Observed::kWeight,
             integer = options.format == FakeFormat::kInt8 || options.format == FakeFormat::kInt4;
  const Strategy strategy = options.strategy;
  if (!options.symmetric && !integer) fail(Status::kUnsupported, "float formats are symmetric");
  if (weight && strategy == Strategy::kToken) fail(Status::kUnsupported, "strategy token is for activations");
  if (!weight && (strategy == Strategy::kChannel || strategy == Strategy::kBlock)) {
    fail(Status::kUnsupported, "strategies channel and block are for weights");
  }
  if (options.two_level() && options.format != FakeFormat::kFp4) fail(Status::kUnsupported, "strategy tensor_group is for FP4");
  if (!options.two_level() && (options.optimize_global_scale || options.global_scale > 0.0f)) {
    fail(Status::kUnsupported, "a global scale is for strategy tensor_group");
  }
  const bool groups = strategy == Strategy::kGroup || options.two_level();
  if (groups && options.group_size == 0) fail(Status::kWrongState, "no group size has been set");
  if (strategy == Strategy::kBlock && options.block_height == 0) fail(Status::kWrongState, "no block structure has been set");
  if (!options.g_idx.empty() && !(groups && weight)) fail(Status::kUnsupported, "g_idx is for groups of a weight");
}

ObserverLayout tensor_layout(const TensorView& x) {
  constexpr int64_t kRow = 4096;  // rows of any length do: the last one may be short
  ObserverLayout layout;
  const int64_t cols = std::min(kRow, std::max<int64_t>(x.elements(), 1));
  set_columns(layout, cols, cols, {});
  layout.groups.row_span = 1;
  layout.groups.row_groups = 1;
  layout.shape = {1};
  return layout;
}

ObserverLayout layout_of(const TensorView& x, const ObserverOptions& options) {
  switch (options.strategy) {
    case Strategy::kChannel: return channel_layout(x);
    case Strategy::kGroup:
    case Strategy::kTensorGroup: return group_layout(x, options);
    case Strategy::kBlock: return block_layout(x, options);
    case Strategy::kToken: return token_layout(x);
    default: return tensor_layout(x);
  }
}

}  // namespace nvfp4cal::calib
