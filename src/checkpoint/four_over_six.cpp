#include "checkpoint/four_over_six.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "calib/read_floats.h"
#include "checkpoint/plan.h"
#include "num/e2m1.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr float kNormalization = 256.0f;

// The sum of (|x| - s Q(|x| / s))^2, s the scale of the code that this amax gets. x and G are multiplied by a power of two, as in the search.
float squared_error(const float* x, float amax, float global_amax, float power) {
  const int code = num::code_of_amax(amax, global_amax, kNormalization);
  const float scale = num::search_scale(code, global_amax * power, kNormalization);
  float sum = 0.0f;
  for (int64_t i = 0; i < kBlock; ++i) {
    const float magnitude = std::fabs(x[i]) * power;
    const float rest = std::fma(-num::e2m1_round(magnitude / scale), scale, magnitude);
    sum = std::fma(rest, rest, sum);
  }
  return sum;
}

}  // namespace

void four_over_six_amaxes(const TensorView& x, float global_amax, float* out) {
  const std::vector<float> values = calib::read_floats(x, "x");
  const float power = std::ldexp(1.0f, num::normalizing_exponent(global_amax));
  for (size_t b = 0; b < values.size() / kBlock; ++b) {
    const float* block = values.data() + b * kBlock;
    float amax = 0.0f;
    for (int64_t i = 0; i < kBlock; ++i) amax = std::max(amax, std::fabs(block[i]));
    const float larger = 1.5f * amax;
    out[b] = squared_error(block, larger, global_amax, power) < squared_error(block, amax, global_amax, power) ? larger : amax;
  }
}

}  // namespace nvfp4cal::checkpoint
