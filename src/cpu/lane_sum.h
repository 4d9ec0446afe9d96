// Float64 sums of many terms, the same bits on every target: element i of a run adds to lane i mod 8, and the lanes are joined by halves.
#pragma once

#include <cstdint>

namespace nvfp4cal::cpu {

inline constexpr int kSumLanes = 8;

inline double joined(const double* lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// term(i) of i in [0, n).
template <class Term>
double lane_sum(int64_t n, Term&& term) {
  double lanes[kSumLanes] = {};
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
    for (int k = 0; k < kSumLanes; ++k) lanes[k] += term(i + k);
  }
  for (int k = 0; i < n; ++i, ++k) lanes[k] += term(i);
  return joined(lanes);
}

}  // namespace nvfp4cal::cpu
