// Tables of the integer filter for one global amax: docs/numerics.md, "integer filter".
#pragma once

#include <cstdint>

namespace nvfp4cal::cpu {

// Magnitudes of a block are held relative to 2^e, e the exponent of its maximum m: u = |x| / 2^e * 2^15, sixteen bits. A quotient
// y = |x| / scale is mulhi(u, inverse), a fixed-point number. An inverse that would be wider than sixteen bits belongs to a code
// whose quotients do not fit either; such codes are masked.
struct IntegerLadder {
  // The main ladder: the top code of a block and the nine below it, quotients in steps of 2^-12.
  static constexpr int kRungs = 10;
  // With rows of weights, the codes below a block's last one in the main ladder, quotients in steps of 2^-10.
  static constexpr int kDeeperRungs = 8;
  // Codes 15 .. 1, for maxima among E4M3's subnormals.
  static constexpr int kLowRungs = 15;
  // Codes 126 .. 117, for maxima at E4M3's end; quotients in steps of 2^-11.
  static constexpr int kEndRungs = 10;

  // global_amax in [1, 2), as in SweepPlan.
  IntegerLadder(float global_amax, float normalization);

  // Column: mantissa (3 bits) of the top code's value, and 8 if its exponent and that of m differ by an odd number.
  alignas(64) uint32_t inverse[kRungs][16];  // in both halves of the word
  alignas(64) float square[kRungs][16];      // scale^2 in units of a step's square
  // Column: the same of the first code of these.
  alignas(64) uint32_t deeper_inverse[kDeeperRungs][16];
  alignas(64) float deeper_square[kDeeperRungs][16];
  // Column: e modulo 16.
  alignas(64) uint32_t end_inverse[kEndRungs][16];
  alignas(64) float end_scale[kEndRungs][16];  // in units of a step; 0: the quotients do not fit

  float unit_scale;   // of the code with value 1
  float low_inverse;  // 2^13 / scale of code 1
  float t_factor;     // t = m * t_factor is a little more than 2 m / 7 in units of the code's value
};

}  // namespace nvfp4cal::cpu
