// The arithmetic of min/max observers: scales of ranges, and the search over shrunken ranges. docs/numerics.md 7.
#pragma once

#include <vector>

#include "calib/observer_options.h"
#include "core/device.h"

namespace nvfp4cal::calib {

struct Ranges {
  std::vector<float> min, max;
};

struct ObserverScales {
  std::vector<float> scale, zero_point;
};

ObserverScales scales_of(const Ranges& ranges, const num::RangeRule& rule);

// The one range that holds all.
Ranges spanning(const Ranges& ranges);

// Largest magnitude of any range, 0 included.
float amax_of(const Ranges& ranges);

// Where x lies: in host memory, or on a device that the calls below wait for.
struct ObserverPlace {
  const Execution& execution;
  const Device* device;  // NULL: in host memory
};

// Smallest and largest elements; throws kNotFinite naming the flat index.
Ranges ranges_of(const ObserverPlace& place, const TensorView& x, const ObserverLayout& layout);

// The shrunken ranges of least error. optimize_global: the global scale of each step is the one of its (single) range.
Ranges search_ranges(const ObserverPlace& place, const TensorView& x, const ObserverLayout& layout, const Ranges& start,
                     const ObserverOptions& options, const num::RangeRule& rule, bool optimize_global);

}  // namespace nvfp4cal::calib
