// Block scales between row-major order and 128x4 tiles.
#include <cstring>

#include "core/scale_tiles.h"
#include "cpu/ops.h"

namespace nvfp4cal::cpu {

void swizzle(const Execution& execution, const SwizzleArgs& args) {
  const TensorView& linear = *args.linear;
  const int64_t stack = linear.shape[0], rows = linear.shape[1], k = linear.shape[2];
  const int64_t column_tiles = (k + 3) / 4, row_tiles = (rows + 127) / 128;
  const int64_t matrix_bytes = tile_bytes(rows, k);
  uint8_t* const scales = static_cast<uint8_t*>(linear.data);
  execution.parallel_for(stack * row_tiles, [&](int64_t task) {
    const int64_t matrix = task / row_tiles, first = task % row_tiles * 128;
    uint8_t* const tiles = args.tiles + matrix * matrix_bytes;
    if (args.to_tiles) std::memset(tiles + first * column_tiles * 4, 0, static_cast<size_t>(column_tiles * 512));
    for (int64_t m = first; m < first + 128 && m < rows; ++m) {
      uint8_t* const row = scales + matrix * linear.strides[0] + m * linear.strides[1];
      for (int64_t c = 0; c < k; ++c) {
        uint8_t& in_tiles = tiles[tile_offset(m, c, column_tiles)];
        uint8_t& in_row = row[c * linear.strides[2]];
        (args.to_tiles ? in_tiles : in_row) = args.to_tiles ? in_row : in_tiles;
      }
    }
  });
}

}  // namespace nvfp4cal::cpu
