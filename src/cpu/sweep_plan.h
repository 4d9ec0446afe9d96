// What the search needs to know about one tensor (or one slice of a stack): made once from G, shared by all its blocks.
#pragma once

#include <cstdint>
#include <memory>

#include "core/ops.h"
#include "cpu/integer_ladder.h"
#include "num/scale.h"

namespace nvfp4cal::cpu {

struct SweepPlan {
  SweepPlan(float global_amax, int block_size, float normalization_max);

  int block;
  float normalization;
  // |x| * prescale * prescale2 is |x| in units where G is `amax`, in [1, 2). prescale2 is 1 unless G < 2^-127.
  float prescale, prescale2;
  float amax;
  float global_scale;             // s2 in those units
  float scale[8], reciprocal[8];  // of the codes with value 1 .. 1.875, by mantissa: others are these times a power of two
  float zero_below;               // m <= this: every code gives zeros, code 1
  float saturation;               // m >= this: the largest code that may be tried
  num::CandidateRule rule;

  bool weighted = false;
  bool has_window = false;
  int window_lo = 0, window_hi = 0;

  std::shared_ptr<const IntegerLadder> integer_ladder;  // NULL: none

  void set_weighted();
  void set_window(int lo, int hi);
  // For Kernels::integer_sweep: blocks of 16, no window.
  void set_integer_ladder();
};

// The codes to be tried for a block with maximum m (normalized units): top, top - 1, ... while
// v * lower >= u or v > always, and code >= 1.
struct Ladder {
  int top;
  float u, lower, always;
};
Ladder ladder_of(const SweepPlan& plan, float m);

// The smallest exponent shift that brings the block's largest weight into [1, 2); weights times it are what the sums use.
float weight_prescale(const float* weights, int n);

// sqrt(w / 2) of weights below 2 in steps of 1 / 32767, as the integer filter uses them.
void weight_roots(const float* weights, int64_t n, int16_t* roots);

}  // namespace nvfp4cal::cpu
