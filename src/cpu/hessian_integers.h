// HessianBound in sixteen-bit integers for 16 blocks of 16 at a time: AVX-512 with VNNI. docs/hessian_sweep.md, "in integers".
#pragma once

#include <cstdint>

#include "cpu/hessian_matrix.h"

namespace nvfp4cal::cpu {

// A group of blocks, one a lane. Pairs are elements j and j + 8, in the low and the high half of a word.
struct alignas(64) HessianIntegers {
  static constexpr int kBlocks = 16;

  uint32_t u[8][kBlocks];                  // |x| / 2^e * 2^15, e the exponent of the block's maximum
  uint32_t flips[8][kBlocks];              // all ones where x is negative
  int32_t starts[kMaxBoundRows][kBlocks];  // what flips take from a row's sum
  float to_steps[kBlocks];                 // over a scale: the factor that makes quotients of u, 2^-11 in steps
  float most_steps[kBlocks];               // the largest one whose quotients fit: all below 16
  float tolerance[kBlocks];
};

// Codes of each lane, going down by one from rung to rung.
struct alignas(64) HessianRungs {
  static constexpr int kMost = 20;

  // r' D r and r' (D + w' w) r, from quotients in steps; the second is the first where an element is so near a boundary that its residual's sign is not known. A
  // code is out if a root exceeds that of the limit by more than tolerance * scale. All are 0 where quotients do not fit.
  float diagonal[kMost][HessianIntegers::kBlocks], all[kMost][HessianIntegers::kBlocks], scale[kMost][HessianIntegers::kBlocks];
};

struct HessianIntegerKernels {
  // x: magnitudes in normalized units, [16, 16], element by element; signs: their sign bits; maxima: of the blocks.
  void (*load)(const HessianBound& bound, const float* x, const uint32_t* signs, const float* maxima, HessianIntegers& out);
  // codes: of the first rung; nothing is said of lanes where one is no code.
  void (*bound)(const HessianPlan& plan, const HessianBound& bound, const HessianIntegers& group, const int32_t* codes, int count,
                bool with_rows, HessianRungs& out);
};

}  // namespace nvfp4cal::cpu
