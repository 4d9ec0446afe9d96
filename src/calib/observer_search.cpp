#include "calib/observer_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "calib/observer_device.h"
#include "core/backends.h"
#include "num/scale.h"

namespace nvfp4cal::calib {

namespace {

// Finite: an expanded range ends where float32 does.
Ranges times(const Ranges& ranges, float factor) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  Ranges out = ranges;
  for (float& value : out.min) value = std::max(value * factor, -kLargest);
  for (float& value : out.max) value = std::min(value * factor, kLargest);
  return out;
}

}  // namespace

ObserverScales scales_of(const Ranges& ranges, const num::RangeRule& rule) {
  ObserverScales out;
  for (size_t g = 0; g < ranges.min.size(); ++g) {
    const num::RangeScale s = num::range_scale(ranges.min[g], ranges.max[g], rule);
    out.scale.push_back(s.scale);
    out.zero_point.push_back(s.zero_point);
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

Ranges ranges_of(const ObserverPlace& place, const TensorView& x, const ObserverLayout& layout) {
  const size_t count = static_cast<size_t>(layout.count());
  Ranges ranges{std::vector<float>(count), std::vector<float>(count)};
  const GroupLayout groups = layout.with_columns();
  const GroupRangeArgs args{&x, groups, ranges.min.data(), ranges.max.data()};
  if (place.device) {
    group_range_on_device(*place.device, args);
  } else {
    call(ops_for(x).group_range, place.execution, args);
  }
  // the padding of the last blocks is zeros
  for (size_t g = 0; g < count; ++g) {
    const int64_t row = static_cast<int64_t>(g) / groups.col_groups(), col = static_cast<int64_t>(g) % groups.col_groups();
    if (!(layout.padded_rows && row == groups.row_groups - 1) && !(layout.padded_cols && col == groups.col_groups() - 1)) continue;
    ranges.min[g] = std::min(ranges.min[g], 0.0f);
    ranges.max[g] = std::max(ranges.max[g], 0.0f);
  }
  return ranges;
}

Ranges search_ranges(const ObserverPlace& place, const TensorView& x, const ObserverLayout& layout, const Ranges& start,
                     const ObserverOptions& options, const num::RangeRule& rule, bool optimize_global) {
  const Ranges widest = times(start, static_cast<float>(options.expand));
  const int32_t steps = static_cast<int32_t>(options.maxshrink * options.grid);
  std::vector<float> factors, global_scales;
  for (int32_t step = 0; step < steps; ++step) {
    factors.push_back(static_cast<float>(1 - step / options.grid));
    global_scales.push_back(optimize_global ? num::reciprocal_global_scale(amax_of(times(widest, factors.back()))) : rule.global_scale);
  }
  std::vector<GroupBest> best(widest.min.size(), kNoBest);
  bool improved[kLargestSteps];
  GroupSearchArgs args{&x,
                       layout.with_columns(),
                       rule.format,
                       rule.symmetric,
                       rule.fp8,
                       options.norm,
                       widest.min.data(),
                       widest.max.data(),
                       factors.data(),
                       global_scales.data(),
                       0,
                       0,
                       best.data(),
                       improved};
  std::optional<DeviceGroupSearch> there;
  if (place.device && steps > 0) there.emplace(*place.device, args);
  for (int32_t stale = 0; args.first_step < steps && stale < options.patience; args.first_step += args.steps) {
    // so many steps are taken whatever the first of them give
    args.steps = std::min({kLargestSteps, steps - args.first_step, options.patience - stale});
    std::fill_n(improved, args.steps, false);
    if (there) {
      there->run(args);
    } else {
      call(ops_for(x).group_search, place.execution, args);
    }
    for (int32_t k = 0; k < args.steps; ++k) stale = improved[k] ? 0 : stale + 1;
  }
  if (there) there->read(best);
  Ranges out = widest;
  for (size_t g = 0; g < best.size() && steps > 0; ++g) {
    out.min[g] *= factors[static_cast<size_t>(best[g].step)];
    out.max[g] *= factors[static_cast<size_t>(best[g].step)];
  }
  return out;
}

}  // namespace nvfp4cal::calib
