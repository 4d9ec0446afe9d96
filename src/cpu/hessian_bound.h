// A lower bound of r' H r that is cheap, and proved for this H: (1 - kBoundShare) (r' D r + sum_k (w_k . r)^2) - tau |r|^2 with a diagonal D >= 0.
#pragma once

#include <cstdint>

namespace nvfp4cal::cpu {

inline constexpr int kMaxBoundRows = 16;
inline constexpr float kBoundShare = 0x1p-10f;

struct HessianBound {
  bool usable = false;  // false: H is not positive semidefinite to rounding, only trying all codes is exact
  int rows = 0;         // rows of w in use; the first ones hold the most
  float slack = 0.0f;   // see set_limit in hessian_prune-inl.h
  float noise = 0.0f;   // |quick_form - quadratic_form| <= noise * |r|^2, with room for the rounding of that
  alignas(64) float d[32] = {};
  alignas(64) float w[kMaxBoundRows][32] = {};

  // The same of blocks of 16 in sixteen bits, elements j and j + 8 in a word, units for residuals in steps of 2^-11: w is 2^11 w_unit times w_steps, d at least
  // 2^22 d_unit times the square of d_roots / 2^15.
  alignas(64) uint32_t d_roots[8] = {};
  alignas(64) uint32_t w_steps[kMaxBoundRows][8] = {};
  float d_unit = 0.0f, d_root = 0.0f;  // d_root: of the largest d
  float w_unit[kMaxBoundRows] = {};
  // At least (e' (D + w' w) e)^(1/2) where |e| <= 1, and where all |e_i| <= 1.
  float reach = 0.0f, spread = 0.0f;
  // Errors can be so small a difference of large terms that far from the best code sixteen bits say little.
  bool nearly_singular = false;
};

// values: row-major [block, block], the largest magnitude in [1, 2), symmetric to rounding.
HessianBound make_hessian_bound(const float* values, int block);

}  // namespace nvfp4cal::cpu
