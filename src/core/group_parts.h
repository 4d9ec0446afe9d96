// How the rows of a group are cut for float64 sums, by the shape alone: a part is added up in order, then the parts in order. Part of the result.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/ops.h"

namespace nvfp4cal {

// Rows that a task works on: elements enough to pay for a thread's wake-up, and for the joining of a row's groups.
inline int64_t band_rows(const GroupLayout& layout) {
  constexpr int64_t kElements = 65536;
  const int64_t wanted = std::max<int64_t>(1, std::max(kElements, 64 * layout.col_groups()) / layout.cols);
  return (wanted + layout.row_span - 1) / layout.row_span * layout.row_span;
}

// Part p of row group g: `rows` rows, or what is left of them, from g * row_span + p * step on.
struct GroupParts {
  int64_t rows, step;
};

inline GroupParts group_parts(int64_t rows, const GroupLayout& layout) {
  if (layout.row_groups > 1) return {layout.row_span, layout.row_span * layout.row_groups};
  const int64_t part = std::min(std::max<int64_t>(rows, 1), band_rows(layout));
  return {part, part};
}

}  // namespace nvfp4cal
