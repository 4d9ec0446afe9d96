// Nibbles of blocks whose scales are known, on SIMD lanes: the nearest level of the float32 quotient x / scale, without dividing where
// something cheaper is as good. docs/numerics.md, "packing".
#define NVFP4CAL_ALL_TARGETS
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/pack_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/pack_cells-inl.h"
#include "cpu/pack_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

#if NVFP4CAL_FAST_PACK
// What pack_group needs of a plan: AVX-512 finds levels of half types in its cells.
template <class Loader>
using ScalesFor = std::conditional_t<HWY_MAX_BYTES == 64 && Loader::kBytes == 2, const LevelPlan&, CodeScales>;
#endif

// Whole groups of rows; a block of 32 has two rows. Returns how many rows that were.
template <class Loader>
int64_t pack_groups(const char* data, int64_t rows_per_block, int64_t rows, const uint8_t* HWY_RESTRICT codes, const LevelPlan& plan,
                    uint8_t* HWY_RESTRICT packed) {
  int64_t row = 0;
#if NVFP4CAL_FAST_PACK
  const ScalesFor<Loader> scales(plan);
  uint8_t row_codes[kRowsPerGroup];
  for (; row + kRowsPerGroup <= rows; row += kRowsPerGroup) {
    const uint8_t* const of_group = codes_of_rows(codes, rows_per_block, row, kRowsPerGroup, row_codes);
    pack_group<Loader>(data + row * kRow * Loader::kBytes, scales, of_group, packed + row * (kRow / 2));
  }
#endif
  return row;
}

template <class Loader>
void pack_blocks(const char* data, int block, int64_t blocks, const uint8_t* HWY_RESTRICT codes, const LevelPlan& plan,
                 uint8_t* HWY_RESTRICT packed) {
  const int64_t rows_per_block = block / kRow, rows = blocks * rows_per_block;
  int64_t row = pack_groups<Loader>(data, rows_per_block, rows, codes, plan, packed);
  for (; row < rows; ++row) {
    const float scale = num::e4m3_magnitude(codes[row / rows_per_block]) * plan.global_scale;
    pack_row<Loader>(data + row * kRow * Loader::kBytes, scale, packed + row * (kRow / 2));
  }
}

void pack(const LevelPlan& plan, Span x, int block, int64_t blocks, const uint8_t* codes, uint8_t* packed) {
  with_loader(x.dtype, [&](auto loader) {
    pack_blocks<decltype(loader)>(static_cast<const char*>(x.data), block, blocks, codes, plan, packed);
    return 0;
  });
}

void fill_pack_kernels(Kernels& kernels) { kernels.pack = pack; }

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
