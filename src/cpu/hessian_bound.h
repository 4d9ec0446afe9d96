// A lower bound of r' H r that is cheap, and proved for this H: r' D r + sum_k (w_k . r)^2 - tau |r|^2 with a diagonal D >= 0.
#pragma once

namespace nvfp4cal::cpu {

inline constexpr int kMaxBoundRows = 16;

struct HessianBound {
  bool usable = false;  // false: H is not positive semidefinite to rounding, only trying all codes is exact
  int rows = 0;         // rows of w in use; the first ones hold the most
  float slack = 0.0f;   // see set_limit in hessian_prune-inl.h
  float noise = 0.0f;   // |quick_form - quadratic_form| <= noise * |r|^2, with room for the rounding of that
  alignas(64) float d[32] = {};
  alignas(64) float w[kMaxBoundRows][32] = {};
};

// values: row-major [block, block], the largest magnitude in [1, 2), symmetric to rounding.
HessianBound make_hessian_bound(const float* values, int block);

}  // namespace nvfp4cal::cpu
