// Sums of the errors of fake quantizers that an amax scales, on SIMD lanes (docs/numerics.md 5): the same operations as scalar_errors.cpp. Formats whose levels lie symmetrically see magnitudes: a difference then changes its sign at most.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/errors_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/amax_quantizers.h"
#include "cpu/error_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// ---- fake quantizers of amax_quantizers.h: value(x, in, out) ----

struct IntLanes {
  VF lo, hi;
  VU mask;  // of x: all bits, or all but the sign

  HWY_INLINE VF value(VF x, VF in, VF out) const { return hn::Div(to_integer(hn::Min(hn::Max(hn::Mul(x, in), lo), hi)), out); }
};

struct FloatLanes {
  Minifloat format;
  VU mask;

  HWY_INLINE VF value(VF x, VF in, VF out) const { return hn::Mul(format(hn::Min(hn::Mul(x, in), format.largest)), out); }
};

struct Nvfp4Lanes {
  Minifloat format;
  VU mask;

  HWY_INLINE VF value(VF x, VF in, VF out) const { return hn::Mul(format(hn::Min(hn::Div(x, in), format.largest)), out); }
};

HWY_INLINE Minifloat minifloat_of(AmaxFormat format) {
  if (format == AmaxFormat::kE4m3) return Minifloat(448.0f, -6, 3);
  if (format == AmaxFormat::kE5m2) return Minifloat(57344.0f, -14, 2);
  return Minifloat(6.0f, 0, 1);
}

// One body for all minifloats, since every loop of this file is in it.
template <class Body>
HWY_INLINE void with_lanes(const AmaxQuantizer& quantizer, Body&& body) {
  const VU magnitude = hn::Set(DU(), num::kAbsMask);
  if (quantizer.format == AmaxFormat::kInt) {
    const VU mask = quantizer.lo == -quantizer.hi ? magnitude : hn::Set(DU(), ~0u);
    return body(IntLanes{hn::Set(DF(), quantizer.lo), hn::Set(DF(), quantizer.hi), mask});
  }
  const Minifloat format = minifloat_of(quantizer.format);
  if (quantizer.format == AmaxFormat::kNvfp4) return body(Nvfp4Lanes{format, magnitude});
  body(FloatLanes{format, magnitude});
}

template <class Body>
HWY_INLINE void with_quantizer_and_error(const AmaxErrors& what, Body&& body) {
  with_lanes(what.quantizer, [&](const auto& quantizer) {
    const double p = what.error == ErrorKind::kAbsolute ? 1.0 : what.error == ErrorKind::kSquared ? 2.0 : what.power;
    with_power(p, [&](const auto& error) { body(quantizer, error); });
  });
}

template <class Quantizer>
HWY_INLINE VF load_for(const Quantizer& quantizer, const float* x) {
  return hn::BitCast(DF(), hn::And(hn::BitCast(DU(), hn::LoadU(DF(), x)), quantizer.mask));
}

// Multipliers side by side: their sums stay in registers.
constexpr int kAtOnce = HWY_MAX_BYTES / 16;

template <class Quantizer, class Error>
HWY_INLINE void add_multipliers(const Quantizer& quantizer, const Error& error, const float* x, int64_t n, const float* in,
                                const float* out, int64_t count, double* sums, int64_t sum_step) {
  VF scale_in[kAtOnce], scale_out[kAtOnce];
  for (int c = 0; c < kAtOnce; ++c) {
    const int64_t m = c < count ? c : count - 1;
    scale_in[c] = hn::Set(DF(), in[m]);
    scale_out[c] = hn::Set(DF(), out[m]);
  }
  LaneSums lanes[kAtOnce];
  for_each_step(x, n, [&](const float* at) {
    for (int v = 0; v < kVectors; ++v) {
      const VF value = load_for(quantizer, at + v * kLanes);
      VD wide[2];
      widen_halves(value, wide);
      for (int c = 0; c < kAtOnce; ++c) {
        VD q[2];
        widen_halves(quantizer.value(value, scale_in[c], scale_out[c]), q);
        for (int h = 0; h < 2; ++h) lanes[c].add(2 * v + h, error(hn::Sub(wide[h], q[h])));
      }
    }
  });
  for (int c = 0; c < kAtOnce && c < count; ++c) sums[c * sum_step] += lanes[c].joined();
}

// A short run, one multiplier a lane: no sums across lanes, and scales lie in memory as they are needed. Element i adds to sum i mod 8, as ever.
constexpr int64_t kShortRun = 64;

struct ShortRun {
  HWY_ALIGN float x[kShortRun];
  HWY_ALIGN double wide[kShortRun];
  int64_t steps;  // of eight elements, the last one padded with zeros

  template <class Quantizer>
  HWY_INLINE ShortRun(const Quantizer& quantizer, const float* values, int64_t n) : x{}, steps((n + kSumLanes - 1) / kSumLanes) {
    memcpy(x, values, static_cast<size_t>(n) * sizeof(float));
    for (int64_t i = 0; i < steps * kSumLanes; i += kLanes) {
      const VF value = load_for(quantizer, x + i);
      VD halves[2];
      widen_halves(value, halves);
      hn::Store(value, DF(), x + i);
      for (int h = 0; h < 2; ++h) hn::Store(halves[h], DD(), wide + i + h * kDoubleLanes);
    }
  }
};

template <class Quantizer, class Error>
HWY_NOINLINE void add_lane_multipliers(const Quantizer& quantizer, const Error& error, const ShortRun& run, const float* in,
                                       const float* out, int64_t count, double* sums, int64_t sum_step) {
  const DF df;
  const DD dd;
  HWY_ALIGN double totals[kLanes];
  const VF scale_in = hn::LoadU(df, in), scale_out = hn::LoadU(df, out);
  VD lanes[kSumLanes][2];
  for (int k = 0; k < kSumLanes; ++k) lanes[k][0] = lanes[k][1] = hn::Zero(dd);
  for (int64_t step = 0; step < run.steps; ++step) {
    const float* const x = run.x + step * kSumLanes;
    const double* const wide = run.wide + step * kSumLanes;
    for (int k = 0; k < kSumLanes; ++k) {
      VD q[2];
      widen_halves(quantizer.value(hn::Set(df, x[k]), scale_in, scale_out), q);
      for (int h = 0; h < 2; ++h) lanes[k][h] = hn::Add(lanes[k][h], error(hn::Sub(hn::Set(dd, wide[k]), q[h])));
    }
  }
  for (int h = 0; h < 2; ++h) {
    const VD even = hn::Add(hn::Add(lanes[0][h], lanes[4][h]), hn::Add(lanes[2][h], lanes[6][h]));
    const VD odd = hn::Add(hn::Add(lanes[1][h], lanes[5][h]), hn::Add(lanes[3][h], lanes[7][h]));
    hn::Store(hn::Add(even, odd), dd, totals + h * kDoubleLanes);
  }
  for (int64_t m = 0; m < count && m < kLanes; ++m) sums[m * sum_step] += totals[m];
}

template <class Quantizer, class Error>
HWY_INLINE void add_short_run(const Quantizer& quantizer, const Error& error, const float* x, int64_t n, const float* in, const float* out,
                              int64_t count, double* sums, int64_t sum_step) {
  const ShortRun run(quantizer, x, n);
  int64_t m = 0;
  for (; m + kLanes <= count; m += kLanes)
    add_lane_multipliers(quantizer, error, run, in + m, out + m, kLanes, sums + m * sum_step, sum_step);
  if (m == count) return;
  HWY_ALIGN float rest[2][kLanes];
  hn::Store(hn::Set(DF(), 1.0f), DF(), rest[0]);
  hn::Store(hn::Set(DF(), 1.0f), DF(), rest[1]);
  memcpy(rest[0], in + m, static_cast<size_t>(count - m) * sizeof(float));
  memcpy(rest[1], out + m, static_cast<size_t>(count - m) * sizeof(float));
  add_lane_multipliers(quantizer, error, run, rest[0], rest[1], count - m, sums + m * sum_step, sum_step);
}

void amax_errors(const AmaxErrors& what, const float* x, int64_t n, const float* in, const float* out, int64_t count, double* sums,
                 int64_t sum_step) {
  with_quantizer_and_error(what, [&](const auto& quantizer, const auto& error) {
    if (n <= kShortRun && count >= kLanes / 2) return add_short_run(quantizer, error, x, n, in, out, count, sums, sum_step);
    for (int64_t m = 0; m < count; m += kAtOnce)
      add_multipliers(quantizer, error, x, n, in + m, out + m, count - m, sums + m * sum_step, sum_step);
  });
}

// 16 columns of all rows.
template <class Quantizer, class Error>
HWY_NOINLINE void add_columns(const Quantizer& quantizer, const Error& error, const float* x, int64_t stride, int64_t rows, const float* in,
                              const float* out, double* sums) {
  const DF df;
  const DD dd;
  VF scale_in[kVectors], scale_out[kVectors];
  VD totals[kHalves];
  for (int v = 0; v < kVectors; ++v) {
    scale_in[v] = hn::LoadU(df, in + v * kLanes);
    scale_out[v] = hn::LoadU(df, out + v * kLanes);
  }
  for (int h = 0; h < kHalves; ++h) totals[h] = hn::LoadU(dd, sums + h * kDoubleLanes);
  for (int64_t r = 0; r < rows; ++r, x += stride) {
    for (int v = 0; v < kVectors; ++v) {
      const VF value = load_for(quantizer, x + v * kLanes);
      VD wide[2], q[2];
      widen_halves(value, wide);
      widen_halves(quantizer.value(value, scale_in[v], scale_out[v]), q);
      for (int h = 0; h < 2; ++h) totals[2 * v + h] = hn::Add(totals[2 * v + h], error(hn::Sub(wide[h], q[h])));
    }
  }
  for (int h = 0; h < kHalves; ++h) hn::StoreU(totals[h], dd, sums + h * kDoubleLanes);
}

// The last columns, fewer than 16, padded with zeros at a scale of 1.
struct LastColumns {
  HWY_ALIGN float x[kStep] = {}, in[kStep], out[kStep];
  HWY_ALIGN double totals[kStep] = {};
  size_t n;

  HWY_NOINLINE LastColumns(int64_t count, const float* in_scales, const float* out_scales, const double* sums)
      : n(static_cast<size_t>(count)) {
    for (size_t k = 0; k < kStep; ++k) {
      in[k] = k < n ? in_scales[k] : 1.0f;
      out[k] = k < n ? out_scales[k] : 1.0f;
    }
    memcpy(totals, sums, n * sizeof(double));
  }
};

void amax_errors_each(const AmaxErrors& what, const float* x, int64_t rows, int64_t n, const float* in, const float* out, double* sums) {
  const int64_t whole = n / kStep * kStep;
  LastColumns last(n - whole, in + whole, out + whole, sums + whole);
  with_quantizer_and_error(what, [&](const auto& quantizer, const auto& error) {
    for (int64_t i = 0; i < whole; i += kStep) add_columns(quantizer, error, x + i, n, rows, in + i, out + i, sums + i);
    for (int64_t r = 0; r < rows && last.n > 0; ++r) {
      memcpy(last.x, x + r * n + whole, last.n * sizeof(float));
      add_columns(quantizer, error, last.x, 0, 1, last.in, last.out, last.totals);
    }
  });
  memcpy(sums + whole, last.totals, last.n * sizeof(double));
}

// The scalar code, compiled for this target: the loop becomes vector code.
void amax_scales(const AmaxQuantizer& quantizer, const float* amax, int64_t n, float* in, float* out) {
  with_quantizer(quantizer, [&](const auto& one) {
    for (int64_t i = 0; i < n; ++i) {
      const AmaxScale scale = one.scale(amax[i]);
      in[i] = scale.in;
      out[i] = scale.out;
    }
  });
}

void fill_error_kernels(Kernels& kernels) {
  kernels.amax_scales = amax_scales;
  kernels.amax_errors = amax_errors;
  kernels.amax_errors_each = amax_errors_each;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
