// Nibbles of bfloat16 and float16 rows under AVX-512: magnitudes are compared in sixteen bits with the smallest number of each level, its threshold.
// Most rows find theirs in tables (level_cells-inl.h), those of very small numbers here. Included once per target. Proof: docs/numerics.md, "packing".
#if defined(NVFP4CAL_CPU_PACK_HALVES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_PACK_HALVES_INL_H
#undef NVFP4CAL_CPU_PACK_HALVES_INL_H
#else
#define NVFP4CAL_CPU_PACK_HALVES_INL_H
#endif

#include "cpu/pack_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_FAST_PACK && HWY_MAX_BYTES == 64

// Rounds positive float32 numbers to sixteen bits: the smallest number that is not below x, or that is above it, in both halves of a lane.
template <class Loader>
struct HalfFormat;

template <>
struct HalfFormat<LoadBf16> {
  static constexpr float kScalesBelow = 0x1p16f;  // no quotient of such a scale underflows

  static HWY_INLINE __m512i upper_half_twice(__m512i bits) {
    return _mm512_shuffle_epi8(bits, _mm512_set4_epi32(0x0F0E0F0E, 0x0B0A0B0A, 0x07060706, 0x03020302));
  }
  static HWY_INLINE __m512i not_below(__m512 x) {
    return upper_half_twice(_mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0xFFFF)));
  }
  static HWY_INLINE __m512i above(__m512 x) { return _mm512_add_epi16(upper_half_twice(_mm512_castps_si512(x)), _mm512_set1_epi16(1)); }
};

template <>
struct HalfFormat<LoadF16> {
  static constexpr float kScalesBelow = 0x1p90f;

  static HWY_INLINE __m512i twice(__m256i halves) {
    const __m512i wide = _mm512_cvtepu16_epi32(halves);
    return _mm512_or_si512(wide, _mm512_slli_epi32(wide, 16));
  }
  // beyond the largest number: infinity, which no magnitude reaches
  static HWY_INLINE __m512i not_below(__m512 x) { return twice(_mm512_cvtps_ph(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)); }
  static HWY_INLINE __m512i above(__m512 x) {
    return _mm512_add_epi16(twice(_mm512_cvtps_ph(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)), _mm512_set1_epi16(1));
  }
};

// The smallest magnitude whose quotient rounds to level k + 1 or above, in both halves of a lane. A boundary belongs to the level with the even
// mantissa, so the exact quotient x / scale reaches the upper level from half a float32 step below the boundary on (that level is even: .75,
// 1.75, 3.5) or only from more than half a step above it (the others).
template <class Loader>
struct Thresholds {
  using Format = HalfFormat<Loader>;
  __m512i at[7];

  Thresholds() = default;
  HWY_INLINE explicit Thresholds(__m512 scale) {
    at[0] = above(scale, .25f, 0x1p-26f);
    at[1] = from(scale, .75f, 0x1p-25f);
    at[2] = above(scale, 1.25f, 0x1p-24f);
    at[3] = from(scale, 1.75f, 0x1p-24f);
    at[4] = above(scale, 2.5f, 0x1p-23f);
    at[5] = from(scale, 3.5f, 0x1p-23f);
    at[6] = above(scale, 5.0f, 0x1p-22f);
  }

 private:
  static HWY_INLINE __m512i from(__m512 scale, float boundary, float half_step) {
    const __m512 half = _mm512_mul_ps(scale, _mm512_set1_ps(-half_step));
    return Format::not_below(_mm512_fmadd_round_ps(scale, _mm512_set1_ps(boundary), half, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
  }
  static HWY_INLINE __m512i above(__m512 scale, float boundary, float half_step) {
    const __m512 half = _mm512_mul_ps(scale, _mm512_set1_ps(half_step));
    return Format::above(_mm512_fmadd_round_ps(scale, _mm512_set1_ps(boundary), half, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
  }
};

// Scales from here on have quotients and thresholds that are ordinary numbers: half a step of a boundary is exact.
constexpr float kLeastForThresholds = 0x1p-90f;

HWY_INLINE bool ordinary(VF scales, float largest) {
  return hn::AllTrue(DF(), hn::And(hn::Ge(scales, hn::Set(DF(), kLeastForThresholds)), hn::Lt(scales, hn::Set(DF(), largest))));
}

// Codes of 32 elements in sixteen-bit lanes: three steps of a binary search.
template <class Loader>
HWY_INLINE __m512i codes_of_halves(__m512i x, const Thresholds<Loader>& t) {
  const __m512i magnitude = _mm512_and_si512(x, _mm512_set1_epi16(0x7FFF));
  const __mmask32 four = _mm512_cmpge_epu16_mask(magnitude, t.at[3]);
  const __mmask32 two = _mm512_cmpge_epu16_mask(magnitude, _mm512_mask_mov_epi16(t.at[1], four, t.at[5]));
  const __m512i lower = _mm512_mask_mov_epi16(t.at[0], two, t.at[2]), upper = _mm512_mask_mov_epi16(t.at[4], two, t.at[6]);
  const __mmask32 one = _mm512_cmpge_epu16_mask(magnitude, _mm512_mask_mov_epi16(lower, four, upper));
  const __mmask32 negative = _mm512_cmpgt_epu16_mask(x, _mm512_set1_epi16(static_cast<int16_t>(0x8000)));
  __m512i code = _mm512_maskz_set1_epi16(four, 4);
  code = _mm512_mask_add_epi16(code, two, code, _mm512_set1_epi16(2));
  code = _mm512_mask_add_epi16(code, one, code, _mm512_set1_epi16(1));
  return _mm512_mask_add_epi16(code, negative, code, _mm512_set1_epi16(8));
}

template <class Loader>
HWY_INLINE void pack_by_thresholds(const char* data, const Thresholds<Loader>& thresholds, uint8_t* HWY_RESTRICT packed) {
  VF pairs[8];  // elements 2 j and 2 j + 1 of a row in its lane of pairs[j]
  load_transposed<8>(reinterpret_cast<const float*>(data), 8, pairs);
  __m512i bytes[4];  // bytes 2 j and 2 j + 1 of a row in the low half of its lane of bytes[j]
  for (int j = 0; j < 4; ++j) {
    const __m512i even = codes_of_halves(_mm512_castps_si512(pairs[2 * j].raw), thresholds);
    const __m512i odd = codes_of_halves(_mm512_castps_si512(pairs[2 * j + 1].raw), thresholds);
    const __m512i both = _mm512_or_si512(even, _mm512_slli_epi16(odd, 8));
    bytes[j] = _mm512_or_si512(both, _mm512_srli_epi32(both, 12));
  }
  const __m512i low = _mm512_mask_blend_epi16(0xAAAAAAAAu, bytes[0], _mm512_slli_epi32(bytes[1], 16));
  const __m512i high = _mm512_mask_blend_epi16(0xAAAAAAAAu, bytes[2], _mm512_slli_epi32(bytes[3], 16));
  const __m512i first = _mm512_unpacklo_epi32(low, high), second = _mm512_unpackhi_epi32(low, high);  // rows 0 1, 4 5, ..; 2 3, 6 7, ..
  const __m512i lower_order = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), upper_order = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  _mm512_storeu_si512(packed, _mm512_permutex2var_epi64(first, lower_order, second));
  _mm512_storeu_si512(packed + 64, _mm512_permutex2var_epi64(first, upper_order, second));
}

// 16 rows whose codes are at `codes`, any scales.
template <class Loader>
HWY_NOINLINE void pack_by_scales(const char* data, float global_scale, const uint8_t* HWY_RESTRICT codes, uint8_t* HWY_RESTRICT packed) {
  const VI of_rows = in_lanes(codes);
  const VF scales = hn::Mul(values_of(of_rows), hn::Set(DF(), global_scale));
  if (ordinary(scales, HalfFormat<Loader>::kScalesBelow)) return pack_by_thresholds<Loader>(data, Thresholds<Loader>(scales.raw), packed);
  pack_divided<Loader>(data, codes, kRowsPerGroup, global_scale, packed);
}

#endif
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
