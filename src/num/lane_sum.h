// Float64 sums of many terms, the same bits on every target: element i of a run adds to lane i mod 8, and the lanes are joined by halves.
#pragma once

#include "num/target.h"

namespace nvfp4cal::num {

inline constexpr int kSumLanes = 8;

NVFP4CAL_HD inline double joined(const double* lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace nvfp4cal::num
