// One block of 16 columns of 64 rows of weights: columns lie one after the other, a row is a lane.
#pragma once

#include <cstdint>

#include "num/gptq.h"

namespace nvfp4cal::cpu {

using num::kGptqBlock;

// Rounds the columns in order at every candidate scale, each column's error moving those after it, and keeps the scale of the least loss: the increase of
// the objective when all later blocks are set to their best real values.
struct GptqRounding {
  const float* targets;   // [16][64]: weights, moved by the errors of earlier blocks
  const float* weights;   // [16][64]
  const float* feedback;  // [16][stride], read above the diagonal: what an error of column i moves column j by
  int64_t stride;
  const float* pivots;  // [16]: what a squared distance to the moved target costs
  float global_scale;
  const int32_t* around;  // [64]: candidates are the scale codes around + lo .. around + hi, clamped to 1 .. 126
  int lo, hi;
  float* errors;   // [16][64], out: decoded - weights
  int32_t* codes;  // [64], out; the smallest of equal ones
};

// Moves each column to the level that is best while all others stay.
struct GptqDescent {
  const float* weights;    // [16][64]
  const float* gradients;  // [16][64]: errors times Hessian
  const float* hessian;    // [16][stride]: the block on the diagonal
  int64_t stride;
  const float* reciprocals;  // [16]: of the diagonal
  const float* scales;       // [64]
  float* errors;             // [16][64], in and out
  float* changes;            // [16][64], out: new - old errors, zeros where the level stays
};

}  // namespace nvfp4cal::cpu
