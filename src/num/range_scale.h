// How the range of a group of elements becomes the scale and zero point of a format [compressed-tensors calculate_qparams], every operation float32.
// No branches but on what all groups share, so that loops over groups become vector code. docs/numerics.md 7.
#pragma once

#include <stdint.h>

#include "num/e4m3.h"
#include "num/minifloat.h"

namespace nvfp4cal {

enum class FakeFormat : int32_t { kInt8 = 0, kInt4 = 1, kFp8 = 2, kFp4 = 3 };

namespace num {

// The smallest and largest value of a format.
struct FakeLevels {
  float lo, hi;
};

NVFP4CAL_HD inline FakeLevels fake_levels(FakeFormat format) {
  switch (format) {
    case FakeFormat::kInt8: return {-128.0f, 127.0f};
    case FakeFormat::kInt4: return {-8.0f, 7.0f};
    case FakeFormat::kFp8: return {-kE4m3Max, kE4m3Max};
    default: return {-6.0f, 6.0f};
  }
}

// What all groups of a tensor share.
struct RangeRule {
  FakeFormat format;
  bool symmetric;
  float global_scale = 0.0f;  // 0: none
  bool fp8 = false;           // the scale is rounded to E4M3
};

struct RangeScale {
  float scale, zero_point;
};

// Scales of ranges, which include 0. A scale of 0 becomes the format's epsilon; a zero point of 0/0 is 0.
class RangeScaler {
 public:
  NVFP4CAL_HD explicit RangeScaler(const RangeRule& rule)
      : levels_(fake_levels(rule.format)),
        steps_(rule.symmetric ? (levels_.hi - levels_.lo) / 2.0f : levels_.hi - levels_.lo),
        global_scale_(rule.global_scale > 0.0f ? rule.global_scale : 1.0f),
        epsilon_(rule.fp8 ? 0.125f : 0x1p-23f),
        fp8_(rule.fp8) {}

  NVFP4CAL_HD RangeScale symmetric(float min, float max) const {
    const float lo = min < 0.0f ? -min : 0.0f, hi = max > 0.0f ? max : 0.0f;
    return {finished((lo > hi ? lo : hi) / steps_), 0.0f};
  }

  NVFP4CAL_HD RangeScale asymmetric(float min, float max) const {
    const float lo = min < 0.0f ? min : 0.0f, hi = max > 0.0f ? max : 0.0f;
    const float part = is_finite(hi - lo) ? 1.0f : 0.5f;  // of a range beyond float32, halves
    const float scale = (hi * part - lo * part) / steps_ / part, exact = levels_.lo - lo / scale;
    const float above = exact > levels_.lo ? exact : levels_.lo;
    const float inside = above < levels_.hi ? above : levels_.hi;
    const float integer = (inside + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: to the nearest, ties to even
    return {finished(scale), exact == exact ? integer : 0.0f};
  }

  // Inside a search scales are divided by the global scale that they were multiplied with before rounding.
  NVFP4CAL_HD float divided(float scale) const { return scale / global_scale_; }

 private:
  NVFP4CAL_HD float finished(float scale) const {
    const float scaled = global_scale_ * scale;
    const float rounded = e4m3_round(scaled < kE4m3Max ? scaled : kE4m3Max);
    const float used = fp8_ ? rounded : scaled;
    return used == 0.0f ? epsilon_ : used;
  }

  FakeLevels levels_;
  float steps_, global_scale_, epsilon_;
  bool fp8_;
};

NVFP4CAL_HD inline RangeScale range_scale(float min, float max, const RangeRule& rule) {
  const RangeScaler scaler(rule);
  return rule.symmetric ? scaler.symmetric(min, max) : scaler.asymmetric(min, max);
}

// Inside a search: the range is multiplied by a factor.
NVFP4CAL_HD inline RangeScale search_range_scale(float min, float max, float factor, const RangeRule& rule) {
  const RangeScale one = range_scale(min * factor, max * factor, rule);
  return {RangeScaler(rule).divided(one.scale), one.zero_point};
}

}  // namespace num
}  // namespace nvfp4cal
