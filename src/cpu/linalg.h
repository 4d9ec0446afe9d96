// Products of dense matrices, tile by tile: what factorizations and the Hessian methods spend their time in.
#pragma once

#include <cstdint>

namespace nvfp4cal::cpu {

inline constexpr int64_t kTile = 64;    // columns of a product; also the rows and columns of a factor's tiles
inline constexpr int64_t kStrip = 8;    // rows of a product come in strips of this many
inline constexpr int64_t kDepth = 128;  // terms that are summed before they are added to c

// c[i][j] += or -= sum over k < depth of a[k][i] * b[k][j], for i < rows (a multiple of kStrip) and j < kTile.
// a's first index is the sum's: what is multiplied lies as columns, so that both factors are read along their rows. Terms are fused into a sum that
// begins at 0 for every kDepth of them, in order: each element of c is the same bits however a product is cut into tiles, and on every target that
// has a fused multiply-add (SSE4 has none and rounds the terms).
template <class T>
struct Product {
  const T* a;
  int64_t a_stride;
  const T* b;
  int64_t b_stride;
  int64_t depth, rows;
  T* c;
  int64_t c_stride;
  bool subtract;
};

}  // namespace nvfp4cal::cpu
