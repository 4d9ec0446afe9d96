// What observers need of a group, on SIMD lanes (docs/numerics.md 7): smallest and largest elements, scales, errors and errors known to a few digits.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ranges_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/range_filter.h"
#include "cpu/range_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

template <class Loader>
void to_floats_of(const char* data, int64_t n, float* HWY_RESTRICT out) {
  const DF df;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(Loader::load(data + i * Loader::kBytes), df, out + i);
  if (i == n) return;
  char rest[kLanes * Loader::kBytes] = {};
  HWY_ALIGN float values[kLanes];
  memcpy(rest, data + i * Loader::kBytes, static_cast<size_t>((n - i) * Loader::kBytes));
  hn::Store(Loader::load(rest), df, values);
  memcpy(out + i, values, static_cast<size_t>(n - i) * sizeof(float));
}

void to_floats(Span x, int64_t n, float* out) {
  with_loader(x.dtype, [&](auto loader) {
    to_floats_of<decltype(loader)>(static_cast<const char*>(x.data), n, out);
    return true;
  });
}

bool min_max(const float* x, int64_t n, float* min, float* max) {
  const DF df;
  const DU du;
  VF lo = hn::Set(df, *min), hi = hn::Set(df, *max);
  VU largest = hn::Zero(du);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const VF value = hn::LoadU(df, x + i);
    lo = hn::Min(lo, value);
    hi = hn::Max(hi, value);
    largest = hn::Max(largest, hn::And(hn::BitCast(du, value), hn::Set(du, num::kAbsMask)));
  }
  bool finite = hn::GetLane(hn::MaxOfLanes(du, largest)) < num::kInfBits;
  *min = hn::GetLane(hn::MinOfLanes(df, lo));
  *max = hn::GetLane(hn::MaxOfLanes(df, hi));
  for (; i < n; ++i) {
    finite = finite && num::is_finite(x[i]);
    *min = x[i] < *min ? x[i] : *min;
    *max = x[i] > *max ? x[i] : *max;
  }
  return finite;
}

// The scalar code, compiled for this target: the loops become vector code.
void range_scales(const num::RangeRule& rule, float factor, const float* HWY_RESTRICT min, const float* HWY_RESTRICT max, int64_t n,
                  float* HWY_RESTRICT scale, float* HWY_RESTRICT zero_point) {
  const num::RangeScaler scaler(rule);
  for (int64_t g = 0; rule.symmetric && g < n; ++g) {
    scale[g] = scaler.divided(scaler.symmetric(min[g] * factor, max[g] * factor).scale);
    zero_point[g] = 0.0f;
  }
  for (int64_t g = 0; !rule.symmetric && g < n; ++g) {
    const num::RangeScale one = scaler.asymmetric(min[g] * factor, max[g] * factor);
    scale[g] = scaler.divided(one.scale);
    zero_point[g] = one.zero_point;
  }
}

// ---- errors ------------------------------------------------------------------------------------------------------------

template <class Quantizer, class Error>
HWY_INLINE double range_error(const Quantizer& quantizer, const Error& error, const float* x, int64_t n) {
  LaneSums lanes;
  for_each_step(x, n, [&](const float* at) {
    for (int v = 0; v < kVectors; ++v) {
      const VF value = quantizer.load(at + v * kLanes);
      VD wide[2], fake[2];
      widen_halves(value, wide);
      widen_halves(quantizer.value(value), fake);
      for (int h = 0; h < 2; ++h) lanes.add(2 * v + h, error(hn::Sub(fake[h], wide[h])));
    }
  });
  return lanes.joined();
}

void range_errors(FakeFormat format, double norm, const float* x, int64_t n, const float* scale, const float* zero_point, int64_t count,
                  double* errors, int64_t step) {
  with_power(norm, [&](const auto& error) {
    for_each_range_scale(format, scale, zero_point, count, step,
                         [&](int64_t k, const auto& quantizer) { errors[k * step] += range_error(quantizer, error, x, n); });
  });
}

// ---- the filter: float32, see range_filter.h ----------------------------------------------------------------------------

HWY_INLINE VF horner(const float* terms, int n, VF x) {
  VF sum = hn::Set(DF(), terms[n - 1]);
  for (int k = n - 2; k >= 0; --k) sum = hn::MulAdd(sum, x, hn::Set(DF(), terms[k]));
  return sum;
}

// (d 2^shift)^norm of d >= 0, 0 for 0.
HWY_INLINE VF power_about(VF d, VI shift, VF norm) {
  const DF df;
  const DI di;
  const VI bits = hn::Sub(hn::BitCast(di, d), hn::Set(di, kFilterSqrtHalf));
  const VF exponent = hn::ConvertTo(df, hn::Add(hn::ShiftRight<23>(bits), shift));
  const VF m = hn::BitCast(df, hn::Add(hn::And(bits, hn::Set(di, 0x7FFFFF)), hn::Set(di, kFilterSqrtHalf)));
  const VF r = hn::Sub(m, hn::Set(df, 1.0f));
  const VF log2 = hn::MulAdd(r, horner(kFilterLog2, 7, r), exponent);
  const VF y = hn::Max(hn::Mul(log2, norm), hn::Set(df, -126.0f));
  const VF magic = hn::Set(df, 12582912.0f), shifted = hn::Add(y, magic);  // 1.5 * 2^23
  const VF fraction = horner(kFilterExp2, 6, hn::Sub(y, hn::Sub(shifted, magic)));
  const VF power = hn::BitCast(df, hn::Add(hn::BitCast(di, fraction), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
  return hn::IfThenElseZero(hn::Gt(d, hn::Zero(df)), power);
}

template <class Quantizer>
HWY_INLINE double filter_error(const Quantizer& quantizer, VI shift, VF norm, const float* x, int64_t n) {
  const DF df;
  double sum = 0.0;
  for (int64_t i = 0; i < n; i += kFilterChunk) {
    VF errors = hn::Zero(df);
    for_each_step(x + i, n - i < kFilterChunk ? n - i : kFilterChunk, [&](const float* at) {
      for (int v = 0; v < kVectors; ++v) {
        const VF value = quantizer.load(at + v * kLanes);
        errors = hn::Add(errors, power_about(hn::Abs(hn::Sub(quantizer.value(value), value)), shift, norm));
      }
    });
    sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(df, errors)));
  }
  return sum;
}

void range_filter(FakeFormat format, float norm, int shift, const float* x, int64_t n, const float* scale, const float* zero_point,
                  int64_t count, double* errors, int64_t step) {
  for_each_range_scale(format, scale, zero_point, count, step, [&](int64_t k, const auto& quantizer) {
    errors[k * step] += filter_error(quantizer, hn::Set(DI(), shift), hn::Set(DF(), norm), x, n);
  });
}

void fill_range_kernels(Kernels& kernels) {
  kernels.to_floats = to_floats;
  kernels.min_max = min_max;
  kernels.range_scales = range_scales;
  kernels.range_errors = range_errors;
  kernels.range_filter = range_filter;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
