// Levels of bfloat16 and float16 rows under AVX-512, by looking magnitudes up. Included once per target. Proof: docs/numerics.md, "packing".
//
// Half binades of magnitudes, cut at the right place, hold one threshold between levels each at most. A magnitude's half binade, counted from a little
// below its row's first threshold, finds in tables of sixteen that threshold and the level below it. Rows whose scales have one mantissa have the same
// tables, but for the exponent.
#if defined(NVFP4CAL_CPU_LEVEL_CELLS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_LEVEL_CELLS_INL_H
#undef NVFP4CAL_CPU_LEVEL_CELLS_INL_H
#else
#define NVFP4CAL_CPU_LEVEL_CELLS_INL_H
#endif

#include <algorithm>

#include "cpu/decode_lanes-inl.h"
#include "cpu/pack_halves-inl.h"
#include "num/e4m3.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_FAST_PACK && HWY_MAX_BYTES == 64

// Tables of one mantissa in the top binade (codes 120 .. 126). Returns where the first cell begins.
HWY_INLINE int fill_level_cells(const int (&thresholds)[7], __m256i values, int half_binade, LevelCells& cells) {
  // Thresholds 2, 4 and 6 are one number but for the exponent, and 3 and 5 are: a cut between the two and one half a binade on, which lies
  // between the second and the next of the first.
  const int gap = thresholds[3] - thresholds[2], cut = gap <= half_binade ? thresholds[3] : thresholds[2] + half_binade;
  // the last cut below the first threshold
  const int first = cut - (cut - thresholds[0] + half_binade) / half_binade * half_binade;
  const __m256i starts = _mm256_mullo_epi16(_mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                            _mm256_set1_epi16(static_cast<int16_t>(half_binade)));
  const __m256i ends = _mm256_add_epi16(starts, _mm256_set1_epi16(static_cast<int16_t>(half_binade - 1)));
  __m256i in_cell = _mm256_set1_epi16(-1), below = _mm256_setzero_si256();
  for (const int threshold : thresholds) {
    const __m256i at = _mm256_set1_epi16(static_cast<int16_t>(threshold - first));
    const __mmask16 before_start = _mm256_cmplt_epu16_mask(at, starts), before_end = _mm256_cmple_epu16_mask(at, ends);
    in_cell = _mm256_mask_mov_epi16(in_cell, static_cast<__mmask16>(before_end & ~before_start), at);
    below = _mm256_mask_add_epi16(below, before_start, below, _mm256_set1_epi16(1));
  }
  _mm256_store_si256(reinterpret_cast<__m256i*>(cells.threshold), in_cell);
  _mm256_store_si256(reinterpret_cast<__m256i*>(cells.value), _mm256_permutexvar_epi16(below, values));
  return first;
}

// Format: RoundBf16 or RoundF16.
template <class Loader, class Format>
HWY_INLINE void fill_level_plan(float global_scale, LevelUse use, LevelPlan& plan) {
  constexpr int kBinade = 1 << Format::kMantissaBits, kTop = 120;
  // thresholds, from a quarter of the scale on, and values, from half of it on, are normal numbers
  constexpr float kLeastScale = 2.0f * Format::kLeastScale, kLeastOfTop = std::max(kLeastScale, kLeastForThresholds);
  constexpr float kScalesBelow = std::min(Format::kScalesBelow, HalfFormat<Loader>::kScalesBelow);
  plan.least_code = num::kE4m3Count + 1;
  if (!(num::e4m3_magnitude(kTop) * global_scale >= kLeastOfTop && num::e4m3_magnitude(kTop + 7) * global_scale < kScalesBelow)) return;
  plan.least_code = 1;
  while (num::e4m3_magnitude(plan.least_code) * global_scale < kLeastScale) ++plan.least_code;
  const VI top_codes = hn::Add(hn::And(hn::Iota(DI(), 0), hn::Set(DI(), 7)), hn::Set(DI(), kTop));
  const Thresholds<Loader> top(hn::Mul(values_of(top_codes), hn::Set(DF(), global_scale)).raw);
  alignas(64) uint32_t of_mantissas[7][16];
  for (int k = 0; k < 7; ++k) _mm512_store_si512(of_mantissas[k], top.at[k]);
  const __m512 levels = _mm512_setr_ps(0, .5f, 1, 1.5f, 2, 3, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0);
  for (int mantissa = 0; mantissa < 8; ++mantissa) {
    int thresholds[7];
    for (int k = 0; k < 7; ++k) thresholds[k] = static_cast<int>(of_mantissas[k][mantissa] & 0xFFFF);
    const float scale = num::e4m3_magnitude(kTop + mantissa) * global_scale;
    const __m512i decoded = Format::bits(_mm512_mul_ps(levels, _mm512_set1_ps(scale)));
    const __m256i values = _mm512_cvtepi32_epi16(use == LevelUse::kPack ? hn::Iota(DI(), 0).raw : decoded);
    const int first = fill_level_cells(thresholds, values, kBinade / 2, plan.cells[mantissa]);
    plan.first[mantissa] = static_cast<uint32_t>(first * 0x10001);
  }
}

// Lane 2 i eight times, then lane 2 i + 1.
struct RowPairs {
  alignas(64) uint32_t lanes[8][16];
  constexpr RowPairs() : lanes() {
    for (uint32_t i = 0; i < 128; ++i) lanes[i / 16][i % 16] = i / 8;
  }
};
inline constexpr RowPairs kRowPairs;

HWY_INLINE __m512i magnitudes_of(__m512i x) { return _mm512_and_si512(x, _mm512_set1_epi16(0x7FFF)); }

// 16 rows whose codes the plan has cells for.
template <class Format>
class CellRows {
 public:
  // codes: 16 bytes, and the same in lanes.
  HWY_INLINE CellRows(const LevelPlan& plan, const uint8_t* codes, VI of_rows) : plan_(plan), codes_(codes) {
    const __m512i code = of_rows.raw;
    __m512i mantissa = _mm512_and_si512(code, _mm512_set1_epi32(7));
    __m512i below_top = _mm512_sub_epi32(_mm512_set1_epi32(15), _mm512_srli_epi32(code, 3));
    if (HWY_UNLIKELY(_mm512_cmplt_epi32_mask(code, _mm512_set1_epi32(8)) != 0)) {  // their values are normal float32 numbers
      const __m512i bits = _mm512_castps_si512(values_of(of_rows).raw);
      mantissa = _mm512_and_si512(_mm512_srli_epi32(bits, 20), _mm512_set1_epi32(7));
      below_top = _mm512_sub_epi32(_mm512_set1_epi32(127 + 8), _mm512_srli_epi32(bits, 23));
      _mm_store_si128(reinterpret_cast<__m128i*>(mantissas_), _mm512_cvtepi32_epi8(mantissa));
      codes_ = mantissas_;
    }
    lowered_ = _mm512_slli_epi16(_mm512_or_si512(below_top, _mm512_slli_epi32(below_top, 16)), Format::kMantissaBits);
    const __m256i firsts = _mm256_load_si256(reinterpret_cast<const __m256i*>(plan.first));
    first_ = _mm512_sub_epi16(_mm512_permutexvar_epi32(mantissa, _mm512_castsi256_si512(firsts)), lowered_);
  }

  // How far what 16 numbers of row r, and of row r + 1, decode to lies below the values of the top binade.
  HWY_INLINE __m512i lowered(int r) const { return of_rows(lowered_, r); }

  // The value of 16 magnitudes of row r, and of row r + 1.
  HWY_INLINE __m512i values(__m512i magnitudes, int r) const {
    const LevelCells &row0 = cells_of(r), &row1 = cells_of(r + 1);
    const __m512i second_row = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(16), 1);
    const __m512i place = _mm512_subs_epu16(magnitudes, of_rows(first_, r));
    const __m512i cell = _mm512_min_epu16(_mm512_srli_epi16(place, Format::kMantissaBits - 1), _mm512_set1_epi16(15));
    const __m512i index = _mm512_or_si512(cell, second_row);
    const __mmask32 reached = _mm512_cmpge_epu16_mask(place, _mm512_permutexvar_epi16(index, both(row0.threshold, row1.threshold)));
    const __m512i level = _mm512_mask_add_epi16(index, reached, index, _mm512_set1_epi16(1));
    return _mm512_permutexvar_epi16(level, both(row0.value, row1.value));
  }

 private:
  HWY_INLINE const LevelCells& cells_of(int r) const { return plan_.cells[codes_[r] & 7]; }
  static HWY_INLINE __m512i both(const uint16_t* a, const uint16_t* b) {
    const __m256i lower = _mm256_load_si256(reinterpret_cast<const __m256i*>(a)),
                  upper = _mm256_load_si256(reinterpret_cast<const __m256i*>(b));
    return _mm512_inserti64x4(_mm512_castsi256_si512(lower), upper, 1);
  }
  static HWY_INLINE __m512i of_rows(__m512i lanes, int r) {
    return _mm512_permutexvar_epi32(_mm512_load_si512(kRowPairs.lanes[r / 2]), lanes);
  }

  const LevelPlan& plan_;
  const uint8_t* codes_;     // with the mantissas in the last three bits
  __m512i first_, lowered_;  // in both halves of a row's lane
  alignas(16) uint8_t mantissas_[16];
};

// Whether the plan has cells for all these codes. The largest first: where no code has cells, the least is above it and none stays as it is.
HWY_INLINE bool has_cells(const LevelPlan& plan, VI codes) {
  const VI least = hn::Set(DI(), plan.least_code), largest = hn::Set(DI(), num::kE4m3Count);
  return hn::AllTrue(DI(), hn::Eq(hn::Max(hn::Min(codes, largest), least), codes));
}

template <class Loader>
using FormatLike = std::conditional_t<std::is_same_v<Loader, LoadBf16>, RoundBf16, RoundF16>;

#endif
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
