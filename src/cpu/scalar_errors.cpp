// The reference of the kernels that sum errors of fake quantization: one element after the other, docs/numerics.md 5 and 7.
#include <algorithm>
#include <cmath>

#include "cpu/amax_quantizers.h"
#include "cpu/kernels.h"
#include "cpu/lane_sum.h"
#include "cpu/load.h"
#include "num/power.h"
#include "num/range_error.h"

namespace nvfp4cal::cpu {

namespace {

struct Squared {
  double operator()(double d) const { return d * d; }
};
struct Absolute {
  double operator()(double d) const { return std::fabs(d); }
};
struct Power {
  double power;
  double operator()(double d) const { return num::power(std::fabs(d), power); }
};

template <class Body>
void with_error(const AmaxErrors& what, Body&& body) {
  switch (what.error) {
    case ErrorKind::kAbsolute: return body(Absolute());
    case ErrorKind::kPower: return body(Power{what.power});
    default: return body(Squared());
  }
}

double difference(float a, float b) { return static_cast<double>(a) - static_cast<double>(b); }

void amax_errors(const AmaxErrors& what, const float* x, int64_t n, const float* in, const float* out, int64_t count, double* sums,
                 int64_t sum_step) {
  with_quantizer(what.quantizer, [&](const auto& quantizer) {
    with_error(what, [&](const auto& error) {
      for (int64_t m = 0; m < count; ++m) {
        const AmaxScale scale{in[m], out[m]};
        sums[m * sum_step] += lane_sum(n, [&](int64_t i) { return error(difference(x[i], quantizer.value(x[i], scale))); });
      }
    });
  });
}

void amax_errors_each(const AmaxErrors& what, const float* x, int64_t rows, int64_t n, const float* in, const float* out, double* sums) {
  with_quantizer(what.quantizer, [&](const auto& quantizer) {
    with_error(what, [&](const auto& error) {
      for (int64_t r = 0; r < rows; ++r) {
        const float* const row = x + r * n;
        for (int64_t i = 0; i < n; ++i) sums[i] += error(difference(row[i], quantizer.value(row[i], {in[i], out[i]})));
      }
    });
  });
}

void amax_scales(const AmaxQuantizer& quantizer, const float* amax, int64_t n, float* in, float* out) {
  with_quantizer(quantizer, [&](const auto& one) { set_scales(one, amax, n, in, out); });
}

void range_scales(const num::RangeRule& rule, float factor, const float* min, const float* max, int64_t n, float* scale,
                  float* zero_point) {
  for (int64_t g = 0; g < n; ++g) {
    const num::RangeScale one = num::search_range_scale(min[g], max[g], factor, rule);
    scale[g] = one.scale;
    zero_point[g] = one.zero_point;
  }
}

void range_errors(FakeFormat format, double norm, const float* x, int64_t n, const float* scale, const float* zero_point, int64_t count,
                  double* errors, int64_t step) {
  for (int64_t k = 0; k < count; ++k) {
    const num::RangeScale one{scale[k * step], zero_point[k * step]};
    errors[k * step] += lane_sum(n, [&](int64_t i) { return num::range_error(format, x[i], one, norm); });
  }
}

void to_floats(Span x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = load_element(x, i);
}

bool min_max(const float* x, int64_t n, float* min, float* max) {
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    finite = finite && num::is_finite(x[i]);
    *min = std::min(*min, x[i]);
    *max = std::max(*max, x[i]);
  }
  return finite;
}

}  // namespace

void fill_scalar_error_kernels(Kernels& kernels) {
  kernels.to_floats = to_floats;
  kernels.min_max = min_max;
  kernels.amax_scales = amax_scales;
  kernels.amax_errors = amax_errors;
  kernels.amax_errors_each = amax_errors_each;
  kernels.range_scales = range_scales;
  kernels.range_errors = range_errors;
}

}  // namespace nvfp4cal::cpu
