// From nibbles and block scales back to elements.
#include <algorithm>
#include <atomic>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/ops.h"
#include "cpu/store.h"
#include "cpu/targets.h"
#include "num/scale.h"

namespace nvfp4cal::cpu {

namespace {

bool is_nan(uint8_t scale) { return (scale & 0x7F) == num::kE4m3Nan; }

// Without an early end: the compiler makes vectors of it.
bool has_nan(const uint8_t* scales, int64_t n) {
  uint8_t found = 0;
  for (int64_t i = 0; i < n; ++i) found |= static_cast<uint8_t>((scales[i] & 0x7F) == num::kE4m3Nan);
  return found != 0;
}

// Before anything is written.
void check_scales(const Execution& execution, const TensorView& scales) {
  const int64_t n = scales.elements();
  std::atomic<bool> good{true};
  execution.parallel_for((n + kChunkElements - 1) / kChunkElements, [&](int64_t c) {
    const int64_t begin = c * kChunkElements, count = std::min(kChunkElements, n - begin);
    ByteReader reader(scales);
    if (has_nan(reader.read(begin, count), count)) good = false;
  });
  if (good) return;
  ByteReader reader(scales);
  for (int64_t i = 0; i < n; ++i) {
    const uint8_t scale = *reader.read(i, 1);
    if (is_nan(scale)) fail(Status::kNotFinite, "scales[%lld] is 0x%02X, NaN", static_cast<long long>(i), scale);
  }
}

}  // namespace

void dequantize(const Execution& execution, const DequantizeArgs& args) {
  check_scales(execution, *args.scales);
  const Kernels& kernels = kernels_of(execution);
  const int64_t block = args.block, blocks_per_tile = kTileElements / block;
  const BlockChunks chunks(args.out->elements() / block, args.slices, args.block);
  execution.parallel_for(chunks.count(), [&](int64_t c) {
    const BlockRange chunk = chunks[c];
    const float global = args.global_scale[chunk.slice];
    ByteReader packed(*args.packed), codes(*args.scales);
    std::vector<float> scales(static_cast<size_t>(blocks_per_tile)), buffer;
    for (int64_t b = 0; b < chunk.count; b += blocks_per_tile) {
      const int64_t first = chunk.first + b, count = std::min(blocks_per_tile, chunk.count - b);
      kernels.block_scales(codes.read(first, count), count, args.order, global, scales.data());
      const DecodedSpan out = decoded_span(*args.out, first * block, count * block, buffer);
      kernels.decode(packed.read(first * block / 2, count * block / 2), args.block, count, scales.data(), out);
      store_doubles(*args.out, first * block, count * block, buffer);
    }
    finish_streams();
  });
}

}  // namespace nvfp4cal::cpu
