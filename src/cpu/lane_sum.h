// Float64 sums of many terms: num/lane_sum.h, with the lanes of a run in an array.
#pragma once

#include <cstdint>

#include "num/lane_sum.h"

namespace nvfp4cal::cpu {

using num::joined;
using num::kSumLanes;

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
