// The multipliers of the search, as torch.linspace makes them.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace nvfp4cal::calib {

inline constexpr double kLargestMultipliers = 65536;

// ceil((stop - start) / step) + 1; more than kLargestMultipliers is for the caller to refuse.
inline double multiplier_count(double start, double stop, double step) { return std::ceil((stop - start) / step) + 1; }

// Two-ended float32: the lower half counts from start, the upper one from stop, each value rounded once.
inline std::vector<float> multipliers_of(double start, double stop, double step) {
  const int64_t n = static_cast<int64_t>(multiplier_count(start, stop, step));
  const float first = static_cast<float>(start), last = static_cast<float>(stop);
  if (n == 1) return {first};
  const float d = (last - first) / static_cast<float>(n - 1);
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) {
    const bool lower = i < n / 2;
    values.push_back(lower ? std::fma(d, static_cast<float>(i), first) : std::fma(-d, static_cast<float>(n - 1 - i), last));
  }
  return values;
}

}  // namespace nvfp4cal::calib
