#include "checkpoint/four_over_six.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "calib/read_floats.h"
#include "checkpoint/plan.h"
#include "num/e2m1.h"
#include "num/half.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr float kNormalization = 256.0f;
constexpr int kSize = static_cast<int>(kBlock);

// The sum of (x - s Q(x / s))^2 over the magnitudes of a block, in an order that vector lanes can follow.
float squared_error(const float* x, float scale) {
  float squares[kSize];
  for (int i = 0; i < kSize; ++i) {
    const float rest = x[i] - scale * num::e2m1_round_no_nan(x[i] / scale);
    squares[i] = rest * rest;
  }
  for (int half = kSize / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) squares[i] += squares[i + half];
  }
  return squares[0];
}

// Elements as float32: where they lie, or in `buffer`.
const float* floats_of(const TensorView& x, std::vector<float>& buffer) {
  if (x.dtype == Dtype::kF32) return static_cast<const float*>(x.data);
  if (x.dtype != Dtype::kBf16) {
    buffer = calib::read_floats(x, "x");
    return buffer.data();
  }
  const size_t n = static_cast<size_t>(x.elements());
  const uint16_t* halves = static_cast<const uint16_t*>(x.data);
  buffer.resize(n);
  for (size_t i = 0; i < n; ++i) buffer[i] = num::bf16_to_f32(halves[i]);
  return buffer.data();
}

}  // namespace

void four_over_six_amaxes(const TensorView& x, float global_amax, std::vector<float>& buffer, float* out) {
  const float* values = floats_of(x, buffer);
  // As in the search: x and G times a power of two, so that no square overflows or vanishes.
  const float power = std::ldexp(1.0f, num::normalizing_exponent(global_amax));
  const auto error = [&](const float* block, float amax) {
    return squared_error(block,
                         num::search_scale(num::code_of_amax(amax, global_amax, kNormalization), global_amax * power, kNormalization));
  };
  const int64_t blocks = x.elements() / kBlock;
  for (int64_t b = 0; b < blocks; ++b) {
    float block[kSize], amax = 0.0f;
    for (int i = 0; i < kSize; ++i) block[i] = std::fabs(values[b * kSize + i]);
    for (int i = 0; i < kSize; ++i) amax = std::max(amax, block[i]);
    for (int i = 0; i < kSize; ++i) block[i] *= power;
    const float larger = 1.5f * amax;
    out[b] = error(block, larger) < error(block, amax) ? larger : amax;
  }
}

}  // namespace nvfp4cal::checkpoint
