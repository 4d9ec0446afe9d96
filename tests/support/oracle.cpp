#include "support/oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nvfp4cal::test {

namespace {

constexpr int kGroup = 16;  // blocks searched side by side

}  // namespace

double e4m3_value_of(int code) { return code < 8 ? std::ldexp(code, -9) : std::ldexp(8 + code % 8, code / 8 - 10); }

double e2m1_level_of(double y) {
  constexpr double kUpTo[7] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5};
  constexpr bool kTieUp[7] = {false, true, false, true, false, true, false};
  int level = 0;
  while (level < 7 && (y > kUpTo[level] || (y == kUpTo[level] && kTieUp[level]))) ++level;
  return kLevels[level];
}

int nearest_e4m3(double y) {
  int best = 0;
  for (int code = 1; code <= kCodes; ++code) {
    const double here = std::fabs(y - e4m3_value_of(code)), before = std::fabs(y - e4m3_value_of(best));
    if (here < before || (here == before && code % 2 == 0)) best = code;
  }
  return best;
}

int Setting::exponent() const { return -std::ilogb(global_amax); }

float Setting::normalized_amax() const { return static_cast<float>(std::ldexp(static_cast<double>(global_amax), exponent())); }

float Setting::scale(int code) const {
  const float candidate = static_cast<float>(e4m3_value_of(code)) / normalization;
  const float amax = candidate * normalized_amax();
  return amax / 6.0f;
}

Oracle::Oracle(const Setting& setting) : setting_(setting), factor_(std::ldexp(1.0, setting.exponent())) {
  scales_[0] = 0.0;
  for (int code = 1; code <= kCodes; ++code) scales_[code] = setting.scale(code);
}

// Element i of block b of the group goes to [i * kGroup + b]; missing blocks are zeros.
void Oracle::load_group(const float* x, const float* weights, int64_t count, double* transposed, double* transposed_weights) const {
  for (int64_t b = 0; b < kGroup; ++b) {
    for (int i = 0; i < setting_.block; ++i) {
      const int64_t from = b * setting_.block + i, to = i * kGroup + b;
      transposed[to] = b < count ? std::fabs(static_cast<double>(x[from])) * factor_ : 0.0;
      transposed_weights[to] = b < count && weights ? static_cast<double>(weights[from]) : 1.0;
    }
  }
}

void Oracle::search_group(const double* transposed, const double* weights, double* best, int* best_code) const {
  for (int b = 0; b < kGroup; ++b) best[b] = std::numeric_limits<double>::infinity();
  for (int code = 1; code <= kCodes; ++code) {
    double levels[8], error[kGroup] = {};
    for (int k = 0; k < 8; ++k) levels[k] = scales_[code] * kLevels[k];
    for (int i = 0; i < setting_.block; ++i) {
      const double* const x = transposed + i * kGroup;
      const double* const w = weights + i * kGroup;
      for (int b = 0; b < kGroup; ++b) {
        double least = x[b] * x[b];
        for (int k = 1; k < 8; ++k) {
          const double r = x[b] - levels[k];
          least = r * r < least ? r * r : least;
        }
        error[b] += w[b] * least;
      }
    }
    for (int b = 0; b < kGroup; ++b) {
      if (error[b] < best[b]) {
        best[b] = error[b];
        best_code[b] = code;
      }
    }
  }
}

Oracle::Best Oracle::search(const float* x, const float* weights, int64_t blocks) const {
  Best result{std::vector<uint8_t>(static_cast<size_t>(blocks)), std::vector<double>(static_cast<size_t>(blocks))};
  std::vector<double> transposed(static_cast<size_t>(setting_.block) * kGroup), transposed_weights(transposed.size());
  for (int64_t first = 0; first < blocks; first += kGroup) {
    const int64_t count = std::min<int64_t>(kGroup, blocks - first), begin = first * setting_.block;
    load_group(x + begin, weights ? weights + begin : nullptr, count, transposed.data(), transposed_weights.data());
    double best[kGroup];
    int codes[kGroup];
    search_group(transposed.data(), transposed_weights.data(), best, codes);
    for (int64_t b = 0; b < count; ++b) {
      result.codes[static_cast<size_t>(first + b)] = static_cast<uint8_t>(codes[b]);
      result.errors[static_cast<size_t>(first + b)] = best[b];
    }
  }
  return result;
}

double Oracle::error(const float* x, const float* weights, int code) const {
  double error = 0.0;
  for (int i = 0; i < setting_.block; ++i) {
    const double magnitude = std::fabs(static_cast<double>(x[i])) * factor_;
    const double r = magnitude - scales_[code] * e2m1_level_of(magnitude / scales_[code]);
    error += (weights ? static_cast<double>(weights[i]) : 1.0) * r * r;
  }
  return error;
}

bool Oracle::accepts(const float* x, const float* weights, int code, int best_code, double best_error) const {
  if (code == best_code) return true;
  if (code < 1 || code > kCodes) return false;
  double energy = 0.0;
  for (int i = 0; i < setting_.block; ++i) {
    const double magnitude = std::fabs(static_cast<double>(x[i])) * factor_;
    energy += (weights ? static_cast<double>(weights[i]) : 1.0) * magnitude * magnitude;
  }
  const double tolerance = setting_.block == 32 ? 2e-6 : 1e-6;
  return error(x, weights, code) <= best_error * (1 + tolerance) + 1e-13 * energy;
}

int definition_max_code(const Setting& setting, const float* x) {
  float largest = 0.0f;
  for (int i = 0; i < setting.block; ++i) largest = std::max(largest, std::fabs(x[i]));
  if (largest == 0.0f) return 0x38;
  const float m = static_cast<float>(std::ldexp(static_cast<double>(largest), setting.exponent()));
  const float s2 = setting.normalized_amax() / (6.0f * setting.normalization);
  const float b = m / (6.0f * s2);
  return b == 0.0f ? 0x38 : nearest_e4m3(std::clamp(static_cast<double>(b), 0x1p-9, 448.0));
}

int definition_code(const Setting& setting, const float* x, const float* weights, int lo, int hi) {
  float magnitudes[32], scaled_weights[32];
  int weight_exponent = 0;
  if (weights) weight_exponent = -std::ilogb(*std::max_element(weights, weights + setting.block));
  for (int i = 0; i < setting.block; ++i) {
    magnitudes[i] = static_cast<float>(std::ldexp(std::fabs(static_cast<double>(x[i])), setting.exponent()));
    scaled_weights[i] = weights ? std::ldexp(weights[i], weight_exponent) : 1.0f;
  }
  float best = std::numeric_limits<float>::infinity();
  int best_code = hi;
  for (int code = hi; code >= lo; --code) {
    const float scale = setting.scale(code);
    float error = 0.0f;
    for (int i = 0; i < setting.block; ++i) {
      const float y = magnitudes[i] / scale;
      const float q = static_cast<float>(e2m1_level_of(static_cast<double>(y)));
      const float r = std::fma(-q, scale, magnitudes[i]);
      error = std::fma(weights ? scaled_weights[i] * r : r, r, error);
    }
    if (error <= best) {
      best = error;
      best_code = code;
    }
  }
  return best_code;
}

}  // namespace nvfp4cal::test
