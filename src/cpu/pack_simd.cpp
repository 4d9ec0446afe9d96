// Nibbles of blocks whose scales are known, on SIMD lanes: the nearest level of the float32 quotient x / scale, without dividing where
// something cheaper is as good. docs/numerics.md, "packing".
#define NVFP4CAL_ALL_TARGETS
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/pack_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/pack_halves-inl.h"
#include "cpu/pack_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

template <class Loader>
void pack_blocks(const char* data, int block, int64_t blocks, const uint8_t* HWY_RESTRICT codes, float global_scale,
                 uint8_t* HWY_RESTRICT packed) {
  const int64_t rows = blocks * (block / kRow), rows_per_block = block / kRow;
  RowScales scales;
  for (int64_t tile = 0; tile < rows; tile += kRowsPerTile) {
    const int64_t here = HWY_MIN(kRowsPerTile, rows - tile);
    const char* const first = data + tile * kRow * Loader::kBytes;
    uint8_t* const to = packed + tile * (kRow / 2);
    scales.set(codes + tile / rows_per_block, block, here, global_scale);
    int64_t row = 0;
#if NVFP4CAL_FAST_PACK
    for (; row + kRowsPerGroup <= here; row += kRowsPerGroup) {
      pack_group<Loader>(first + row * kRow * Loader::kBytes, scales, row, to + row * (kRow / 2));
    }
#endif
    for (; row < here; ++row) pack_row<Loader>(first + row * kRow * Loader::kBytes, scales.scale[row], to + row * (kRow / 2));
  }
}

#if NVFP4CAL_FAST_PACK && HWY_MAX_BYTES == 64
template <class Loader>
void pack_half_blocks(const char* data, int block, int64_t blocks, const uint8_t* HWY_RESTRICT codes, float global_scale,
                      uint8_t* HWY_RESTRICT packed) {
  const int64_t rows_per_block = block / kRow, rows = blocks * rows_per_block;
  const ThresholdLadder<Loader> ladder(global_scale);
  int64_t row = 0;
  for (; row + kRowsPerGroup <= rows; row += kRowsPerGroup) {
    uint8_t row_codes[kRowsPerGroup];
    for (int64_t r = 0; r < kRowsPerGroup && rows_per_block > 1; ++r) row_codes[r] = codes[(row + r) / rows_per_block];
    const uint8_t* const of_group = rows_per_block > 1 ? row_codes : codes + row;
    pack_half_group<Loader>(data + row * kRow * Loader::kBytes, ladder, of_group, global_scale, packed + row * (kRow / 2));
  }
  for (; row < rows; ++row) {
    const float scale = num::e4m3_magnitude(codes[row / rows_per_block]) * global_scale;
    pack_row<Loader>(data + row * kRow * Loader::kBytes, scale, packed + row * (kRow / 2));
  }
}
#endif

void pack(Span x, int block, int64_t blocks, const uint8_t* codes, float global_scale, uint8_t* packed) {
  with_loader(x.dtype, [&](auto loader) {
    using Loader = decltype(loader);
    const char* const data = static_cast<const char*>(x.data);
#if NVFP4CAL_FAST_PACK && HWY_MAX_BYTES == 64
    if constexpr (Loader::kBytes == 2) {
      pack_half_blocks<Loader>(data, block, blocks, codes, global_scale, packed);
      return 0;
    }
#endif
    pack_blocks<Loader>(data, block, blocks, codes, global_scale, packed);
    return 0;
  });
}

void fill_pack_kernels(Kernels& kernels) { kernels.pack = pack; }

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
