// What an element becomes with the scale of its range, and its error. One element at a time, on host and device. docs/numerics.md 7.
#pragma once

#include <math.h>

#include "num/amax_quantizers.h"
#include "num/power.h"
#include "num/range_scale.h"

namespace nvfp4cal::num {

// y between the smallest and largest level to the nearest one.
NVFP4CAL_HD inline float nearest_fake_level(FakeFormat format, float y) {
  switch (format) {
    case FakeFormat::kFp8: return e4m3_round(y);
    case FakeFormat::kFp4: return e2m1_round_signed(y);
    default: return (y + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23
  }
}

// |fake(x) - x|^norm.
NVFP4CAL_HD inline double range_error(FakeFormat format, float x, const RangeScale& s, double norm) {
  const FakeLevels levels = fake_levels(format);
  const float level = nearest_fake_level(format, clamped(x / s.scale + s.zero_point, levels.lo, levels.hi));
  return power(fabs(static_cast<double>((level - s.zero_point) * s.scale) - static_cast<double>(x)), norm);
}

}  // namespace nvfp4cal::num
