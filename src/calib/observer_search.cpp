#include "calib/observer_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/backends.h"
#include "num/scale.h"

namespace nvfp4cal::calib {

namespace {

struct Levels {
  float lo, hi;
};

Levels levels_of(FakeFormat format) {
  switch (format) {
    case FakeFormat::kInt8: return {-128.0f, 127.0f};
    case FakeFormat::kInt4: return {-8.0f, 7.0f};
    case FakeFormat::kFp8: return {-448.0f, 448.0f};
    default: return {-6.0f, 6.0f};
  }
}

Ranges times(const Ranges& ranges, float factor) {
  Ranges out = ranges;
  for (float& value : out.min) value *= factor;
  for (float& value : out.max) value *= factor;
  return out;
}

std::vector<double> errors_of(const Execution& execution, const TensorView& x, const ObserverLayout& layout, const ObserverScales& scales,
                              const ObserverOptions& options) {
  std::vector<double> errors(scales.scale.size());
  GroupLayout groups = layout.groups;
  groups.column_group = layout.column_group.data();
  const GroupErrorArgs args{&x, groups, options.format, options.norm, scales.scale.data(), scales.zero_point.data(), errors.data()};
  call(ops_for(x).group_error, execution, args);
  return errors;
}

}  // namespace

ObserverScales scales_of(const Ranges& ranges, const ScaleRule& rule) {
  const Levels levels = levels_of(rule.format);
  ObserverScales out;
  for (size_t g = 0; g < ranges.min.size(); ++g) {
    const float lo = std::min(ranges.min[g], 0.0f), hi = std::max(ranges.max[g], 0.0f);
    float scale, zero_point = 0.0f;
    if (rule.symmetric) {
      scale = std::max(-lo, hi) / ((levels.hi - levels.lo) / 2.0f);
    } else {
      scale = (hi - lo) / (levels.hi - levels.lo);
      const float exact = std::clamp(levels.lo - lo / scale, levels.lo, levels.hi);
      zero_point = exact == exact ? std::nearbyint(exact) : 0.0f;  // 0 / 0 for a range of zeros
    }
    if (rule.global_scale > 0.0f) scale = rule.global_scale * scale;
    if (rule.fp8) scale = num::e4m3_magnitude(num::e4m3_code_of_magnitude(scale));
    if (scale == 0.0f) scale = rule.fp8 ? 0.125f : 0x1p-23f;  // the format's epsilon
    out.scale.push_back(scale);
    out.zero_point.push_back(zero_point);
  }
  return out;
}

Ranges spanning(const Ranges& ranges) {
  return {{*std::min_element(ranges.min.begin(), ranges.min.end())}, {*std::max_element(ranges.max.begin(), ranges.max.end())}};
}

float amax_of(const Ranges& ranges) {
  float amax = 0.0f;
  for (const float value : ranges.min) amax = std::max(amax, -value);
  for (const float value : ranges.max) amax = std::max(amax, value);
  return amax;
}

Ranges ranges_of(const Execution& execution, const TensorView& x, const ObserverLayout& layout) {
  const size_t count = static_cast<size_t>(layout.count());
  Ranges ranges{std::vector<float>(count), std::vector<float>(count)};
  GroupLayout groups = layout.groups;
  groups.column_group = layout.column_group.data();
  const GroupRangeArgs args{&x, groups, ranges.min.data(), ranges.max.data()};
  call(ops_for(x).group_range, execution, args);
  // the padding of the last blocks is zeros
  for (size_t g = 0; g < count; ++g) {
    const int64_t row = static_cast<int64_t>(g) / groups.col_groups, col = static_cast<int64_t>(g) % groups.col_groups;
    if (!(layout.padded_rows && row == groups.row_groups - 1) && !(layout.padded_cols && col == groups.col_groups - 1)) continue;
    ranges.min[g] = std::min(ranges.min[g], 0.0f);
    ranges.max[g] = std::max(ranges.max[g], 0.0f);
  }
  return ranges;
}

Ranges search_ranges(const Execution& execution, const TensorView& x, const ObserverLayout& layout, const Ranges& start,
                     const ObserverOptions& options, ScaleRule rule, bool optimize_global) {
  const Ranges widest = times(start, static_cast<float>(options.expand));
  Ranges best = widest;
  std::vector<double> least(widest.min.size(), std::numeric_limits<double>::infinity());
  const int steps = static_cast<int>(options.maxshrink * options.grid);
  for (int step = 0, stale = 0; step < steps; ++step) {
    const Ranges range = times(widest, static_cast<float>(1 - step / options.grid));
    if (optimize_global) rule.global_scale = num::reciprocal_global_scale(amax_of(range));
    ObserverScales scales = scales_of(range, rule);
    if (rule.global_scale > 0.0f) {
      for (float& scale : scales.scale) scale = scale / rule.global_scale;
    }
    const std::vector<double> errors = errors_of(execution, x, layout, scales, options);
    bool improved = false;
    for (size_t g = 0; g < errors.size(); ++g) {
      if (!(errors[g] < least[g])) continue;
      improved = true;
      least[g] = errors[g];
      best.min[g] = range.min[g];
      best.max[g] = range.max[g];
    }
    stale = improved ? 0 : stale + 1;
    if (stale >= options.patience) break;
  }
  return best;
}

}  // namespace nvfp4cal::calib
