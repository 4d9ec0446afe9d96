// The 128x4 order of block scales that tensor-core kernels read. docs/numerics.md 9.
#pragma once

#include <cstdint>

#include "num/target.h"

namespace nvfp4cal {

// Bytes of the tiles of a [rows, k] matrix of scales.
constexpr int64_t tile_bytes(int64_t rows, int64_t k) { return (rows + 127) / 128 * 128 * ((k + 3) / 4 * 4); }

// Where scale (m, k) lies; column_tiles = ceil(k / 4).
NVFP4CAL_HD constexpr int64_t tile_offset(int64_t m, int64_t k, int64_t column_tiles) {
  return m / 128 * column_tiles * 512 + k / 4 * 512 + m % 32 * 16 + m % 128 / 32 * 4 + k % 4;
}

}  // namespace nvfp4cal
