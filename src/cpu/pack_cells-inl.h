// Nibbles of bfloat16 and float16 rows under AVX-512, by looking levels up. Included once per target.
#if defined(NVFP4CAL_CPU_PACK_CELLS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_PACK_CELLS_INL_H
#undef NVFP4CAL_CPU_PACK_CELLS_INL_H
#else
#define NVFP4CAL_CPU_PACK_CELLS_INL_H
#endif

#include "cpu/level_cells-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_FAST_PACK && HWY_MAX_BYTES == 64

// 16 rows whose codes are at `codes`.
template <class Loader>
HWY_INLINE void pack_group(const char* data, const LevelPlan& plan, const uint8_t* HWY_RESTRICT codes, uint8_t* HWY_RESTRICT packed) {
  const VI of_rows = in_lanes(codes);
  if (HWY_UNLIKELY(!has_cells(plan, of_rows))) return pack_by_scales<Loader>(data, plan.global_scale, codes, packed);
  const CellRows<FormatLike<Loader>> rows(plan, codes, of_rows);
  for (int r = 0; r < kRowsPerGroup; r += 2) {
    const __m512i x = _mm512_loadu_si512(data + r * kRow * Loader::kBytes);
    const __mmask32 negative = _mm512_cmpgt_epu16_mask(x, _mm512_set1_epi16(static_cast<int16_t>(0x8000)));  // -0 is code 0
    const __m512i levels = rows.values(magnitudes_of(x), r);
    const __m512i elements = _mm512_mask_add_epi16(levels, negative, levels, _mm512_set1_epi16(8));
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_or_si512(elements, _mm512_srli_epi32(elements, 12)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + r * (kRow / 2)), bytes);
  }
}

#endif
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
