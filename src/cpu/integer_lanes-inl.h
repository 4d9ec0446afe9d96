// What the integer filter needs of a target: sixteen-bit halves of 32-bit lanes, table look-ups, and the load of a group. Included once
// per target. Intrinsics, since these few instructions are the whole cost of the search.
#if defined(NVFP4CAL_CPU_INTEGER_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_INTEGER_LANES_INL_H
#undef NVFP4CAL_CPU_INTEGER_LANES_INL_H
#else
#define NVFP4CAL_CPU_INTEGER_LANES_INL_H
#endif

#include "cpu/simd-inl.h"

#undef NVFP4CAL_INTEGER_SIMD
#define NVFP4CAL_INTEGER_SIMD (HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX2)

// Highway 1.0.3 means this target to have VNNI but asks the compiler for its VEX form alone.
#if HWY_TARGET == HWY_AVX3_DL
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",vpclmulqdq,avx512vbmi,avx512vbmi2,vaes,avxvnni,avx512bitalg,avx512vpopcntdq,avx512vnni"
#endif

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_INTEGER_SIMD

// kLanes blocks of 16: element j of a block in the low half of its lane of u[j], element j + 8 in the high half (or neighbours: IntegerLoad).
struct IntegerGroup {
  VU u[8];      // |x| / 2^e * 2^15, e the exponent of the block's maximum
  VU max_bits;  // of the maxima, as float32
  VF m;         // maxima in normalized units
};

// How far quotients may be off, as a Euclidean norm over a block, in steps, without what inverses add: so much may a rival's true error be less than its
// sum says, and the winner's more.
struct Delta {
  float rival, winner;

  // What the winner may be off by more than a rival.
  HWY_INLINE float extra() const { return (winner - rival) * 1.01f; }
};

// Quotients above 11.65 count as that at the end of E4M3, so that sixteen squares fit into 31 bits. No such code wins: docs/numerics.md.
constexpr int16_t kLargestEnd = 23859;

#if HWY_TARGET == HWY_AVX3_DL

HWY_INLINE VU multiply_high(VU a, VU b) { return VU{_mm512_mulhi_epu16(a.raw, b.raw)}; }
HWY_INLINE VU double_halves(VU a) { return VU{_mm512_add_epi16(a.raw, a.raw)}; }
HWY_INLINE VI squares(VU e) { return VI{_mm512_madd_epi16(e.raw, e.raw)}; }
HWY_INLINE VI add_squares(VI sum, VU e) { return VI{_mm512_dpwssd_epi32(sum.raw, e.raw, e.raw)}; }
HWY_INLINE VU times_roots(VU e, VU roots) { return VU{_mm512_mulhrs_epi16(e.raw, roots.raw)}; }
template <int bits>
HWY_INLINE VU above_shifted(VU u, VU limit) {
  return VU{_mm512_srli_epi16(_mm512_subs_epu16(u.raw, limit.raw), bits)};
}
HWY_INLINE VU lookup16(const uint32_t* table, VI index) { return VU{_mm512_permutexvar_epi32(index.raw, _mm512_load_si512(table))}; }
HWY_INLINE VF lookup16(const float* table, VI index) { return VF{_mm512_permutexvar_ps(index.raw, _mm512_load_ps(table))}; }

// For each upper byte of a quotient (below 8 in steps of 2^-12, 16 of 2^-11, 32 of 2^-10), that byte less the upper byte of the nearest level.
// Levels are multiples of a half, so that their lower byte is zero.
struct LevelTables {
  alignas(64) int8_t steps12[128];
  alignas(64) int8_t steps11[128];
  alignas(64) int8_t steps10[128];
  constexpr LevelTables() : steps12(), steps11(), steps10() {
    for (int i = 0; i < 128; ++i) {
      steps12[i] = static_cast<int8_t>(i - twice_level(i, 16) * 8);
      steps11[i] = static_cast<int8_t>(i - twice_level(i, 8) * 4);
      steps10[i] = static_cast<int8_t>(i - twice_level(i, 4) * 2);
    }
  }
  static constexpr int twice_level(int i, int one) {
    const int quarters = 4 * i / one;
    return quarters < 1    ? 0
           : quarters < 3  ? 1
           : quarters < 5  ? 2
           : quarters < 7  ? 3
           : quarters < 10 ? 4
           : quarters < 14 ? 6
           : quarters < 20 ? 8
                           : 12;
  }
};
inline constexpr LevelTables kLevels;

HWY_INLINE VU level_distance(VU y, const int8_t* table) {
  constexpr __mmask64 kUpperBytes = 0xAAAAAAAAAAAAAAAAull;
  return VU{_mm512_mask2_permutex2var_epi8(_mm512_load_si512(table), y.raw, kUpperBytes, _mm512_load_si512(table + 64))};
}
HWY_INLINE VU level_distance12(VU y) { return level_distance(y, kLevels.steps12); }
HWY_INLINE VU level_distance11(VU y) {
  return level_distance(VU{_mm512_min_epu16(y.raw, _mm512_set1_epi16(kLargestEnd))}, kLevels.steps11);
}

HWY_INLINE VU level_distance10(VU y) { return level_distance(y, kLevels.steps10); }

// Low halves of a, and low halves of b above them.
HWY_INLINE VU join_halves(VU a, VU b) {
  const __m512i move = _mm512_set4_epi32(0x0d0c0d0c, 0x09080908, 0x05040504, 0x01000100);
  return VU{_mm512_mask_shuffle_epi8(a.raw, 0xCCCCCCCCCCCCCCCCull, b.raw, move)};
}

// u of one element: rounded up, so that it makes up for the quotient's rounding down.
HWY_INLINE VU scaled_element(VF x, VF scale) {
  return VU{
      _mm512_castps_si512(_mm512_fmadd_round_ps(x.raw, scale.raw, _mm512_set1_ps(0x1p23f), _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC))};
}
// How far quotients may be off, without what inverses add: 1 step each.
constexpr float kDeltaFloat = 4.0f;

#else  // AVX2

HWY_INLINE VU multiply_high(VU a, VU b) { return VU{_mm256_mulhi_epu16(a.raw, b.raw)}; }
HWY_INLINE VU double_halves(VU a) { return VU{_mm256_add_epi16(a.raw, a.raw)}; }
HWY_INLINE VI squares(VU e) { return VI{_mm256_madd_epi16(e.raw, e.raw)}; }
HWY_INLINE VI add_squares(VI sum, VU e) { return VI{_mm256_add_epi32(sum.raw, _mm256_madd_epi16(e.raw, e.raw))}; }
HWY_INLINE VU times_roots(VU e, VU roots) { return VU{_mm256_mulhrs_epi16(e.raw, roots.raw)}; }
template <int bits>
HWY_INLINE VU above_shifted(VU u, VU limit) {
  return VU{_mm256_srli_epi16(_mm256_subs_epu16(u.raw, limit.raw), bits)};
}
HWY_INLINE __m256 lookup16_ps(const float* table, VI index) {
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(table), index.raw);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8), index.raw);
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index.raw, 28)));
}
HWY_INLINE VF lookup16(const float* table, VI index) { return VF{lookup16_ps(table, index)}; }
HWY_INLINE VU lookup16(const uint32_t* table, VI index) {
  return VU{_mm256_castps_si256(lookup16_ps(reinterpret_cast<const float*>(table), index))};
}

// y less the nearest level. quarters: floor(4 y) in the upper bytes. Two tables of 16 levels; a lower byte of 0xFF selects none.
HWY_INLINE VU level_distance_of(VU y, __m256i quarters, int shift) {
  const __m256i first = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 6, 6, 6, 6, 8, 8));
  const __m256i second = _mm256_broadcastsi128_si256(_mm_setr_epi8(8, 8, 8, 8, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12));
  const __m256i index = _mm256_adds_epu8(quarters, _mm256_set1_epi16(0x70FF));
  const __m256i other = _mm256_xor_si256(index, _mm256_set1_epi16(static_cast<int16_t>(0x8000)));
  const __m256i twice_level = _mm256_or_si256(_mm256_shuffle_epi8(_mm256_slli_epi16(first, shift), index),
                                              _mm256_shuffle_epi8(_mm256_slli_epi16(second, shift), other));
  return VU{_mm256_sub_epi16(y.raw, twice_level)};
}
HWY_INLINE VU level_distance12(VU y) { return level_distance_of(y, _mm256_srli_epi16(y.raw, 2), 3); }
HWY_INLINE VU level_distance11(VU y) {
  const __m256i capped = _mm256_min_epu16(y.raw, _mm256_set1_epi16(kLargestEnd));
  const __m256i below8 = _mm256_min_epu16(capped, _mm256_set1_epi16(0x3FFF));  // the level is 6 there already
  return level_distance_of(VU{capped}, _mm256_srli_epi16(below8, 1), 2);
}
HWY_INLINE VU level_distance10(VU y) { return level_distance_of(y, _mm256_min_epu16(y.raw, _mm256_set1_epi16(0x1FFF)), 1); }

HWY_INLINE VU join_halves(VU a, VU b) { return VU{_mm256_blend_epi16(a.raw, _mm256_slli_epi32(b.raw, 16), 0xAA)}; }

HWY_INLINE VU scaled_element(VF x, VF scale) { return VU{_mm256_castps_si256(_mm256_fmadd_ps(x.raw, scale.raw, _mm256_set1_ps(0x1p23f)))}; }
// Elements are rounded to nearest here: half a step more.
constexpr float kDeltaFloat = 6.0f;

#endif

// Maxima of a group in float32, and what brings them to [2^15, 2^16). raised: all times kRaise first.
constexpr float kRaise = 0x1p64f;
template <class Loader, bool raised>
HWY_INLINE void load_float_group(const char* data, IntegerGroup& g) {
  const DU du;
  const DF df;
  VF x[16];
  load_magnitudes<Loader, 16>(data, x);
  for (int i = 0; raised && i < 16; ++i) x[i] = hn::Mul(x[i], hn::Set(df, kRaise));
  VU largest[4];
  for (int i = 0; i < 4; ++i) largest[i] = hn::BitCast(du, x[i]);
  for (int i = 4; i < 16; ++i) largest[i % 4] = hn::Max(largest[i % 4], hn::BitCast(du, x[i]));
  g.max_bits = hn::Max(hn::Max(largest[0], largest[1]), hn::Max(largest[2], largest[3]));
  // 2^(15 - e), a little less: the result has sixteen bits
  const VU power = hn::Sub(hn::Set(du, 269u << 23), hn::And(g.max_bits, hn::Set(du, num::kInfBits)));
  const VF scale = hn::Mul(hn::BitCast(df, power), hn::Set(df, 1.0f - 0x1p-16f));
  for (int j = 0; j < 8; ++j) g.u[j] = join_halves(scaled_element(x[j], scale), scaled_element(x[j + 8], scale));
}

template <class Loader>
struct IntegerLoad {
  // Whether halves of a lane are neighbours, elements 2 j and 2 j + 1.
  static constexpr bool kNeighbours = false;
  template <bool weighted>
  static constexpr Delta delta() {
    return {kDeltaFloat, kDeltaFloat};
  }
  // Exponents below this have no power of two to be scaled by.
  static constexpr uint32_t kLeastBits = 16u << 23;
  template <bool weighted>
  static HWY_INLINE void load(const char* data, IntegerGroup& g) {
    load_float_group<Loader, false>(data, g);
  }
};

#if HWY_TARGET == HWY_AVX3_DL
// bfloat16 stays in sixteen bits: the mantissa, shifted right by how far its exponent is below the maximum's.
template <>
struct IntegerLoad<LoadBf16> {
  static constexpr bool kNeighbours = true;
  // A mantissa that loses bits is rounded down as the quotient is: the winner may be off by 2 steps each. Not a rival, since such an element has an error of
  // its own size: rounded down, its sum is too small. With weights it is rounded up instead, so that 1 step is enough for both: there, blocks that are not
  // settled cost more than that.
  template <bool weighted>
  static constexpr Delta delta() {
    return {kDeltaFloat, weighted ? kDeltaFloat : 8.0f};
  }
  static constexpr uint32_t kLeastBits = 30u << 23;
  template <bool weighted>
  static HWY_INLINE void load(const char* data, IntegerGroup& g) {
    const DU du;
    const __m512i one = _mm512_set1_epi16(1);
    const __m512i right7 = _mm512_set1_epi16(1 << 9);
    VF pairs[8];
    load_transposed<8>(reinterpret_cast<const float*>(data), 8, pairs);
    __m512i x[8];
    for (int j = 0; j < 8; ++j) x[j] = _mm512_and_si512(_mm512_castps_si512(pairs[j].raw), _mm512_set1_epi32(0x7FFF7FFF));
    __m512i largest = x[0];
    for (int j = 1; j < 8; ++j) largest = _mm512_max_epu16(largest, x[j]);
    const VU both{largest};
    g.max_bits = hn::Max(hn::And(both, hn::Set(du, 0xFFFF0000u)), hn::ShiftLeft<16>(both));
    const VU exponent = hn::And(g.max_bits, hn::Set(du, num::kInfBits));
    const VU limit = hn::Or(hn::Or(exponent, hn::ShiftRight<16>(exponent)), hn::Set(du, 0x007F007Fu));
    for (int j = 0; j < 8; ++j) {
      // Shifts by constants are products: those have ports that the transposition leaves idle.
      const __m512i lower_by = _mm512_mulhi_epu16(_mm512_sub_epi16(limit.raw, x[j]), right7);
      const __m512i mantissa = _mm512_or_si512(_mm512_slli_epi16(x[j], 8), _mm512_set1_epi16(static_cast<int16_t>(0x8000)));
      g.u[j] = VU{weighted ? _mm512_add_epi16(_mm512_srlv_epi16(_mm512_sub_epi16(mantissa, one), lower_by), one)
                           : _mm512_srlv_epi16(mantissa, lower_by)};
    }
  }
};
#endif

#endif  // NVFP4CAL_INTEGER_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
