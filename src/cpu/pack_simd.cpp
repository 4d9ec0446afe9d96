// Nibbles of blocks whose scales are known, on SIMD lanes: the nearest level of the float32 quotient x / scale, without dividing where
// something cheaper is as good. docs/numerics.md, "packing".
#define NVFP4CAL_ALL_TARGETS
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/pack_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

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
    scales.set<!kHasThresholds<Loader>>(codes + tile / rows_per_block, block, here, global_scale);
    int64_t row = 0;
#if NVFP4CAL_FAST_PACK
    for (; row + kRowsPerGroup <= here; row += kRowsPerGroup) {
      pack_group<Loader>(first + row * kRow * Loader::kBytes, scales, row, to + row * (kRow / 2));
    }
#endif
    for (; row < here; ++row) pack_row<Loader>(first + row * kRow * Loader::kBytes, scales.scale[row], to + row * (kRow / 2));
  }
}

void pack(Span x, int block, int64_t blocks, const uint8_t* codes, float global_scale, uint8_t* packed) {
  with_loader(x.dtype, [&](auto loader) {
    pack_blocks<decltype(loader)>(static_cast<const char*>(x.data), block, blocks, codes, global_scale, packed);
    return 0;
  });
}

void fill_pack_kernels(Kernels& kernels) { kernels.pack = pack; }

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
