// What a Hessian becomes for GPTQ (docs/gptq.md), as a device reads it: damped, scaled, its blocks of 16 columns in the order in which they are rounded.
// "place" is an index in that order. The pointers are host memory where the host made it, device memory in its copy there.
#pragma once

#include <cstdint>

#include "num/target.h"

namespace nvfp4cal {

inline constexpr int64_t kGptqPanel = 64;  // columns of a panel of the matrices below

// Up to eight blocks that are rounded anew together; matrices are [size, size], row-major.
struct GptqGroupParts {
  int64_t size;
  const int32_t* places;  // [size], blocks whole, columns shuffled inside a block
  const float *matrix, *feedback, *pull;
  const float *pivots, *reciprocals;  // [size]
};

struct GptqParts {
  int64_t cols, padded;      // padded: to whole panels
  double mean;               // the unit of the Hessian
  const int32_t* order;      // [cols / 16], the block at each place
  const float* feedback;     // upper triangle: panel p has rows 0 .. 64 (p + 1), row after row
  const float* pivots;       // [padded]
  const float* matrix;       // NULL where no stage needs it, or panels [padded, 64]
  const float* reciprocals;  // of its diagonal, likewise
  const float* shift;        // NULL without a cross term, or such panels
  const GptqGroupParts* groups;
  int64_t group_count;
};

// Elements before panel p of an upper triangle.
NVFP4CAL_HD constexpr int64_t gptq_panel_offset(int64_t panel) { return kGptqPanel * kGptqPanel * (panel * (panel + 1) / 2); }

}  // namespace nvfp4cal
