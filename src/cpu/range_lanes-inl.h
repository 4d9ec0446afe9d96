// Fake quantization with the scale and zero point of a range, on lanes: the same operations as scalar_errors.cpp. Formats without a zero point see magnitudes:
// a difference then changes its sign at most.
#if defined(NVFP4CAL_RANGE_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_RANGE_LANES_INL_H_
#undef NVFP4CAL_RANGE_LANES_INL_H_
#else
#define NVFP4CAL_RANGE_LANES_INL_H_
#endif

#include "cpu/error_lanes-inl.h"
#include "num/range_scale.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

struct IntRangeLanes {
  VF lo, hi, scale, zero_point;

  HWY_INLINE VF load(const float* x) const { return hn::LoadU(DF(), x); }
  HWY_INLINE VF value(VF x) const {
    const VF y = hn::Add(hn::Div(x, scale), zero_point);
    return hn::Mul(hn::Sub(to_integer(hn::Min(hn::Max(y, lo), hi)), zero_point), scale);
  }
};

struct FloatRangeLanes {
  Minifloat format;
  VF scale;

  HWY_INLINE VF load(const float* x) const { return hn::Abs(hn::LoadU(DF(), x)); }
  HWY_INLINE VF value(VF x) const { return hn::Mul(format(hn::Min(hn::Div(x, scale), format.largest)), scale); }
};

// body(k, quantizer) for the scales of all steps.
template <class Body>
HWY_INLINE void for_each_range_scale(FakeFormat format, const float* scale, const float* zero_point, int64_t count, int64_t step,
                                     Body&& body) {
  const DF df;
  const num::FakeLevels levels = num::fake_levels(format);
  if (format == FakeFormat::kInt8 || format == FakeFormat::kInt4) {
    for (int64_t k = 0; k < count; ++k) {
      body(k,
           IntRangeLanes{hn::Set(df, levels.lo), hn::Set(df, levels.hi), hn::Set(df, scale[k * step]), hn::Set(df, zero_point[k * step])});
    }
    return;
  }
  const Minifloat minifloat = format == FakeFormat::kFp8 ? Minifloat(levels.hi, -6, 3) : Minifloat(levels.hi, 0, 1);
  for (int64_t k = 0; k < count; ++k) body(k, FloatRangeLanes{minifloat, hn::Set(df, scale[k * step])});
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
