// Float64 sums of errors on lanes, as lane_sum.h defines them: 16 elements at a time, what is left over padded with zeros, whose errors are zero.
#if defined(NVFP4CAL_ERROR_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_ERROR_LANES_INL_H_
#undef NVFP4CAL_ERROR_LANES_INL_H_
#else
#define NVFP4CAL_ERROR_LANES_INL_H_
#endif

#include <cstring>

#include "cpu/lane_sum.h"
#include "cpu/power-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

constexpr int kStep = 16;                         // elements at a time
constexpr int kVectors = kStep / kLanes;          // float32 vectors of a step
constexpr int kHalves = 2 * kVectors;             // float64 vectors of a step
constexpr int kDoubleLanes = kLanes / 2;          // lanes of one of them
constexpr int kParts = kSumLanes / kDoubleLanes;  // float64 vectors of the eight sums

HWY_INLINE void widen_halves(VF x, VD* HWY_RESTRICT out) {
  const DD dd;
  const hn::Half<DF> half;
  out[0] = hn::PromoteTo(dd, hn::LowerHalf(half, x));
  out[1] = hn::PromoteTo(dd, hn::UpperHalf(half, x));
}

// The eight sums of a run.
struct LaneSums {
  VD part[kParts];

  HWY_INLINE LaneSums() {
    for (int p = 0; p < kParts; ++p) part[p] = hn::Zero(DD());
  }
  // The errors of a float64 vector of a step.
  HWY_INLINE void add(int half, VD errors) { part[half % kParts] = hn::Add(part[half % kParts], errors); }

  HWY_INLINE double joined() const {
    const hn::Full128<double> d2;
#if HWY_MAX_BYTES == 64
    const hn::Half<DD> d4;
    const auto four = hn::Add(hn::LowerHalf(d4, part[0]), hn::UpperHalf(d4, part[0]));
    const auto two = hn::Add(hn::LowerHalf(d2, four), hn::UpperHalf(d2, four));
#elif HWY_MAX_BYTES == 32
    const auto four = hn::Add(part[0], part[1]);
    const auto two = hn::Add(hn::LowerHalf(d2, four), hn::UpperHalf(d2, four));
#else
    const auto two = hn::Add(hn::Add(part[0], part[2]), hn::Add(part[1], part[3]));
#endif
    return hn::GetLane(hn::Add(two, hn::Reverse2(d2, two)));
  }
};

// step(pointer to 16 elements) for all of x. One call, so that the step is in the program once.
template <class Step>
HWY_INLINE void for_each_step(const float* x, int64_t n, Step&& step) {
  HWY_ALIGN float rest[kStep];
  for (int64_t i = 0; i < n; i += kStep) {
    const float* at = x + i;
    if (n - i < kStep) {
      memset(rest, 0, sizeof rest);
      memcpy(rest, at, static_cast<size_t>(n - i) * sizeof(float));
      at = rest;
    }
    step(at);
  }
}

// ---- what is added up: functions of a difference ----

struct SquaredLanes {
  HWY_INLINE VD operator()(VD d) const { return hn::Mul(d, d); }
};
// A function of its own: it takes far longer than a call, and many loops have it.
HWY_NOINLINE inline VD power_of_magnitude(VD d, VD power) { return power_of(hn::Abs(d), power); }

// All powers but 2 share their loops.
struct PowerLanes {
  VD power;
  bool is_one;
  HWY_INLINE VD operator()(VD d) const { return is_one ? hn::Abs(d) : power_of_magnitude(d, power); }
};

// body(error) for |d|^p.
template <class Body>
HWY_INLINE void with_power(double p, Body&& body) {
  if (p == 2.0) return body(SquaredLanes());
  body(PowerLanes{hn::Set(DD(), p), p == 1.0});
}

// ---- rounding ----

// num::minifloat_round of y in [0, the largest value], for any format.
struct Minifloat {
  VF largest, smallest;  // value, normal power of two
  VU shift;              // 23 - mantissa bits, as an exponent

  HWY_INLINE Minifloat(float largest_value, int smallest_exponent, int mantissa)
      : largest(hn::Set(DF(), largest_value)),
        smallest(hn::Set(DF(), num::pow2(smallest_exponent))),
        shift(hn::Set(DU(), static_cast<uint32_t>(23 - mantissa) << 23)) {}

  HWY_INLINE VF operator()(VF y) const {
    const DF df;
    const DU du;
    const VU binade = hn::And(hn::BitCast(du, hn::Max(y, smallest)), hn::Set(du, num::kInfBits));
    const VF magic = hn::BitCast(df, hn::Add(binade, shift));
    return hn::Sub(hn::Add(y, magic), magic);
  }
};

HWY_INLINE VF to_integer(VF y) {
  const VF magic = hn::Set(DF(), 12582912.0f);  // 1.5 * 2^23
  return hn::Sub(hn::Add(y, magic), magic);
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
