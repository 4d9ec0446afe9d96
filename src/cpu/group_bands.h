// Cutting a tensor into bands of rows and runs of elements that belong to one group (core/ops.h, GroupLayout).
#pragma once

#include <algorithm>
#include <vector>

#include "core/group_parts.h"
#include "cpu/float_reader.h"

namespace nvfp4cal::cpu {

// Rows [first_row, first_row + rows), whose row groups are consecutive.
struct Band {
  int64_t first_row, rows, first_group, groups;
};

// Bands of rows, cut by the shape alone.
class Bands {
 public:
  Bands(const TensorView& x, const GroupLayout& layout) : layout_(layout) {
    rows_ = (x.elements() + layout.cols - 1) / layout.cols;
    // no band wraps around: where rows repeat their groups, a band is one round at most unless there is a single row group
    round_ = layout.row_groups == 1 ? std::max<int64_t>(rows_, 1) : layout.row_span * layout.row_groups;
    per_band_ = std::min(round_, band_rows(layout));
    bands_per_round_ = (round_ + per_band_ - 1) / per_band_;
    count_ = rows_ / round_ * bands_per_round_ + (rows_ % round_ + per_band_ - 1) / per_band_;
  }
  int64_t count() const { return count_; }

  // Every group lies in one band: its sums need no joining.
  bool hold_whole_groups() const { return count_ <= 1 || (layout_.row_groups > 1 && rows_ <= round_); }

  Band operator[](int64_t i) const {
    const int64_t in_round = i % bands_per_round_ * per_band_;
    const int64_t first = i / bands_per_round_ * round_ + in_round;
    const int64_t rows = std::min({per_band_, round_ - in_round, rows_ - first});
    if (layout_.row_groups == 1) return {first, rows, 0, 1};
    return {first, rows, in_round / layout_.row_span, (rows + layout_.row_span - 1) / layout_.row_span};
  }

 private:
  GroupLayout layout_;
  int64_t rows_, per_band_, bands_per_round_, round_, count_;
};

// Rows as float32, their elements in the order of the groups. What a call returns is valid until the next one.
class RowReader {
 public:
  RowReader(const Kernels& kernels, const TensorView& x, const GroupLayout& layout)
      : layout_(layout), elements_(x.elements()), reader_(kernels, x), row_(layout.columns ? static_cast<size_t>(layout.cols) : 0) {}

  const float* row(int64_t row, int64_t* count) {
    *count = count_of(row);
    if (layout_.columns) return ordered(row);
    return reader_.read(row * layout_.cols, *count);
  }

  // What a row has of a column group.
  const float* run(int64_t row, int64_t group, int64_t* count) {
    const int64_t first = group * layout_.width;
    *count = std::clamp<int64_t>(count_of(row) - first, 0, layout_.width);
    if (layout_.columns) return ordered(row) + first;
    return reader_.read(row * layout_.cols + first, *count);
  }

 private:
  int64_t count_of(int64_t row) const { return std::min(layout_.cols, elements_ - row * layout_.cols); }
  const float* ordered(int64_t row) {
    if (held_ == row) return row_.data();
    const float* const values = reader_.read(row * layout_.cols, layout_.cols);
    for (int64_t p = 0; p < layout_.cols; ++p) row_[static_cast<size_t>(p)] = values[layout_.columns[p]];
    held_ = row;
    return row_.data();
  }

  const GroupLayout& layout_;
  const int64_t elements_;
  FloatReader reader_;
  std::vector<float> row_;
  int64_t held_ = -1;
};

// visit(values, n, column group) for what rows [first, first + rows) have in each column group.
template <class Visit>
void for_each_run(RowReader& reader, const GroupLayout& layout, int64_t first, int64_t rows, Visit&& visit) {
  for (int64_t r = first; r < first + rows; ++r) {
    int64_t count = 0;
    const float* const row = reader.row(r, &count);
    for (int64_t p = 0; p < count; p += layout.width) visit(row + p, std::min(layout.width, count - p), p / layout.width);
  }
}

// visit(first row, rows, row group in the band)
template <class Visit>
void for_each_row_group(const GroupLayout& layout, const Band& band, Visit&& visit) {
  if (layout.row_groups == 1) return visit(band.first_row, band.rows, int64_t{0});
  for (int64_t r = 0; r < band.rows; r += layout.row_span)
    visit(band.first_row + r, std::min(layout.row_span, band.rows - r), r / layout.row_span);
}

}  // namespace nvfp4cal::cpu
