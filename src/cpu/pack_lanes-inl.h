// Nibbles of rows of 16 elements, each with a scale of its own. Included once per target. Proof: docs/numerics.md, "packing".
#if defined(NVFP4CAL_CPU_PACK_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_PACK_LANES_INL_H
#undef NVFP4CAL_CPU_PACK_LANES_INL_H
#else
#define NVFP4CAL_CPU_PACK_LANES_INL_H
#endif

#include "cpu/simd-inl.h"
#include "num/e4m3.h"

#undef NVFP4CAL_FAST_PACK
#define NVFP4CAL_FAST_PACK (HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2)

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// ---- by division -------------------------------------------------------------------------------------------------------

// Codes 0..15 of x / scale in 32-bit lanes. A scale that underflowed to 0 makes 0 / 0 = NaN: an element of 0 has code 0 whatever its quotient.
HWY_INLINE VU element_codes(VF x, VF scale) {
  const DF df;
  const DU du;
  const VF y = hn::Div(x, scale);  // its sign counts: a quotient that underflows to -0 is code 0
  const VF magnitude = hn::Min(hn::Abs(hn::IfThenElseZero(hn::Ne(x, hn::Zero(df)), y)), hn::Set(df, 6.0f));
  // As num::e2m1_round: adding 2^22 times the power of two of the quotient (1 .. 4) leaves its level in the last bits, in steps of a half, 1
  // or 2. Levels are codes: 2 y below 2, y + 2 below 4, y / 2 + 4 above; 2 log2(power) - 2 comes from the exponent, the 2 from the constant.
  const VU power = hn::And(hn::BitCast(du, hn::Max(magnitude, hn::Set(df, 1.0f))), hn::Set(du, num::kInfBits));
  const VF magic = hn::BitCast(df, hn::Add(power, hn::Set(du, (22u << 23) + 2)));
  const VU steps = hn::BitCast(du, hn::Add(magnitude, magic));
  const VU level = hn::And(hn::Add(steps, hn::ShiftRight<22>(power)), hn::Set(du, 7u));
  const VU sign = hn::IfThenElseZero(hn::RebindMask(du, hn::Lt(y, hn::Zero(df))), hn::Set(du, 8u));
  return hn::Or(level, sign);
}

template <class Loader>
HWY_INLINE void pack_row(const char* data, float scale, uint8_t* HWY_RESTRICT packed) {
  const hn::Repartition<uint64_t, DU> du64;
  const hn::Rebind<uint8_t, decltype(du64)> d8;
  for (int i = 0; i < kRow; i += kLanes) {
    const VU pair = element_codes(Loader::load(data + i * Loader::kBytes), hn::Set(DF(), scale));
    const auto wide = hn::BitCast(du64, pair);  // even element in the low half, odd in the high half
    const auto bytes = hn::And(hn::Or(wide, hn::ShiftRight<28>(wide)), hn::Set(du64, 0xFF));
    hn::StoreU(hn::TruncateTo(d8, bytes), d8, packed + i / 2);
  }
}

template <class Loader>
HWY_NOINLINE void pack_divided(const char* data, const uint8_t* HWY_RESTRICT codes, int64_t rows, float global_scale,
                               uint8_t* HWY_RESTRICT packed) {
  for (int64_t r = 0; r < rows; ++r) {
    pack_row<Loader>(data + r * kRow * Loader::kBytes, num::e4m3_magnitude(codes[r]) * global_scale, packed + r * (kRow / 2));
  }
}

#if NVFP4CAL_FAST_PACK

// ---- what rows of a group have in common -------------------------------------------------------------------------------

constexpr int64_t kRowsPerGroup = kLanes;

// The codes of rows [first, first + rows), those of their blocks: where they lie, or in `buffer`.
HWY_INLINE const uint8_t* codes_of_rows(const uint8_t* HWY_RESTRICT codes, int64_t rows_per_block, int64_t first, int64_t rows,
                                        uint8_t* HWY_RESTRICT buffer) {
  if (rows_per_block == 1) return codes + first;
  for (int64_t r = 0; r < rows; ++r) buffer[r] = codes[(first + r) / rows_per_block];
  return buffer;
}

// The codes of a group's rows, one a lane.
HWY_INLINE VI in_lanes(const uint8_t* HWY_RESTRICT codes) { return hn::PromoteTo(DI(), hn::LoadU(hn::Rebind<uint8_t, DI>(), codes)); }

// codes: byte r of a lane belongs to row r of four. Returns the rows' bytes, lower elements in lower nibbles: even lanes have what a row's
// even elements need.
HWY_INLINE VU join_nibbles(VU codes) {
  const hn::Repartition<uint64_t, DU> du64;
  const auto wide = hn::BitCast(du64, codes);
  return hn::BitCast(DU(), hn::Or(wide, hn::ShiftRight<28>(wide)));
}

// Byte r of 32-bit word j goes to byte j of row r, 8 bytes each.
HWY_INLINE __m256i bytes_by_row(__m256i words) {
  const __m256i fours = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,  //
                                         0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(words, fours), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

#endif

#if NVFP4CAL_FAST_PACK && HWY_MAX_BYTES == 64

// ---- AVX-512: quotients in sixteen bits and a table; what lies too near a boundary is divided ---------------------------

// For each of the 32 quarters below 8: its code, and whether it begins anywhere but at a boundary between two codes.
struct QuarterTables {
  static constexpr uint8_t entry(int quarter) {
    const int code =
        (quarter >= 1) + (quarter >= 3) + (quarter >= 5) + (quarter >= 7) + (quarter >= 10) + (quarter >= 14) + (quarter >= 20);
    const bool at_boundary =
        quarter == 1 || quarter == 3 || quarter == 5 || quarter == 7 || quarter == 10 || quarter == 14 || quarter == 20;
    return static_cast<uint8_t>(code << 2 | (at_boundary ? 0 : 0x80));
  }
  // for the upper byte of a quotient: the last two bits as they are
  alignas(64) uint8_t bytes[128];
  // for quarters 0 .. 15 and 16 .. 31, four times
  alignas(64) uint8_t low[64], high[64];
  constexpr QuarterTables() : bytes(), low(), high() {
    for (int i = 0; i < 128; ++i) bytes[i] = static_cast<uint8_t>(entry(i / 4) | i % 4);
    for (int i = 0; i < 64; ++i) {
      low[i] = entry(i % 16);
      high[i] = entry(16 + i % 16);
    }
  }
};
inline constexpr QuarterTables kQuarters;

// Quotients below 8 in steps of 2^-12, sixteen bits each: bits 10 to 12 become the code, bit 15 0 at quarters that begin at a boundary; the
// last ten bits stay.
HWY_INLINE __m512i with_codes(__m512i quotients) {
#if HWY_TARGET == HWY_AVX3_DL
  constexpr __mmask64 kUpperBytes = 0xAAAAAAAAAAAAAAAAull;
  return _mm512_mask2_permutex2var_epi8(_mm512_load_si512(kQuarters.bytes), quotients, kUpperBytes,
                                        _mm512_load_si512(kQuarters.bytes + 64));
#else
  // the quarter in the upper byte; indices with the highest bit set look up 0
  const __m512i below16 = _mm512_adds_epu8(_mm512_srli_epi16(quotients, 2), _mm512_set1_epi16(0x70FF));
  const __m512i from16 = _mm512_xor_si512(below16, _mm512_set1_epi16(static_cast<int16_t>(0x8000)));
  const __m512i entries = _mm512_or_si512(_mm512_shuffle_epi8(_mm512_load_si512(kQuarters.low), below16),
                                          _mm512_shuffle_epi8(_mm512_load_si512(kQuarters.high), from16));
  return _mm512_ternarylogic_epi32(entries, quotients, _mm512_set1_epi16(0x03FF), 0xF8);  // entries | (quotients & 0x3FF)
#endif
}

// Low halves of a, and low halves of b above them.
HWY_INLINE __m512i join_halves(__m512i a, __m512i b) {
  const __m512i move = _mm512_set4_epi32(0x0D0C0D0C, 0x09080908, 0x05040504, 0x01000100);
  return _mm512_mask_shuffle_epi8(a, 0xCCCCCCCCCCCCCCCCull, b, move);
}

// What codes of one global scale are divided by.
struct CodeScales {
  static constexpr int kCodes = num::kE4m3Count + 2;  // to a whole vector
  // 2^12 / scale, and the negative number from which on quotients underflow: -scale * 2^-150, cut off to a multiple of 2^-149.
  HWY_ALIGN float factor[kCodes];
  HWY_ALIGN float lost[kCodes];
  const float global_scale;
  int least_code, count;  // consecutive codes whose reciprocals and quotients are ordinary numbers
  bool underflow;         // whether any number is lost to one of them

  HWY_INLINE explicit CodeScales(const LevelPlan& plan) : global_scale(plan.global_scale) {
    const DF df;
    for (int code = 0; code < kCodes; code += kLanes) {
      const VF scales = hn::Mul(values_of(hn::Iota(DI(), code)), hn::Set(df, global_scale));
      hn::Store(hn::Div(hn::Set(df, 0x1p12f), scales), df, factor + code);
      const __m512 part = _mm512_mul_ps(scales.raw, _mm512_set1_ps(-0x1p-60f));
      hn::Store(VF{_mm512_mul_round_ps(part, _mm512_set1_ps(0x1p-90f), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}, df, lost + code);
    }
    least_code = 1;
    while (least_code <= num::kE4m3Count && num::e4m3_magnitude(least_code) * global_scale < 0x1p-90f) ++least_code;
    int end = num::kE4m3Count + 1;
    while (end > least_code && !(num::e4m3_magnitude(end - 1) * global_scale < 0x1p90f)) --end;
    count = end - least_code;
    underflow = count > 0 && lost[end - 1] != 0.0f;
  }

  HWY_INLINE bool has(__m128i codes) const {
    const __m128i above = _mm_sub_epi8(codes, _mm_set1_epi8(static_cast<int8_t>(least_code)));
    const __m128i first_out = _mm_set1_epi8(static_cast<int8_t>(count));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(above, first_out), above)) == 0;
  }
};

// Four rows; false if the quotient of an element is too near a boundary to tell its code.
template <class Loader, bool underflow>
HWY_INLINE bool pack_four(const char* data, const CodeScales& scales, const uint8_t* HWY_RESTRICT codes, uint8_t* HWY_RESTRICT packed) {
  const __m512 magic = _mm512_set1_ps(0x1p23f);
  const __m512i largest = _mm512_set1_epi32(0x4B007FFF);  // magic + 2^15 - 1
  __m512i quotients[4];
  __mmask16 negative[4];
  for (int r = 0; r < 4; ++r) {
    const __m512 x = Loader::load(data + r * kRow * Loader::kBytes).raw;
    const __m512 steps = _mm512_fmadd_ps(_mm512_abs_ps(x), _mm512_set1_ps(scales.factor[codes[r]]), magic);
    quotients[r] = _mm512_min_epu32(_mm512_castps_si512(steps), largest);
    negative[r] = _mm512_cmp_ps_mask(x, underflow ? _mm512_set1_ps(scales.lost[codes[r]]) : _mm512_setzero_ps(), _CMP_LT_OQ);
  }
  const __m512i even = with_codes(join_halves(quotients[0], quotients[2])), odd = with_codes(join_halves(quotients[1], quotients[3]));
  const __m512i unsure = _mm512_set1_epi16(static_cast<int16_t>(0x83FF));
  const __mmask32 near = _mm512_testn_epi16_mask(even, unsure) | _mm512_testn_epi16_mask(odd, unsure);
  // byte r of a lane: the code of row r
  __m512i nibbles = _mm512_ternarylogic_epi32(_mm512_srli_epi16(even, 10), _mm512_srli_epi16(odd, 2), _mm512_set1_epi16(0x00FF), 0xE4);
  nibbles = _mm512_and_si512(nibbles, _mm512_set1_epi8(7));
  for (int r = 0; r < 4; ++r) nibbles = _mm512_mask_or_epi32(nibbles, negative[r], nibbles, _mm512_set1_epi32(8 << (8 * r)));
  const __m256i bytes = _mm512_cvtepi64_epi32(join_nibbles(VU{nibbles}).raw);  // byte r of word j: byte j of row r
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(packed), bytes_by_row(bytes));
  return near == 0;
}

template <class Loader, bool underflow>
HWY_INLINE void pack_ordinary_group(const char* data, const CodeScales& scales, const uint8_t* HWY_RESTRICT codes,
                                    uint8_t* HWY_RESTRICT packed) {
  constexpr int kFours = static_cast<int>(kRowsPerGroup) / 4;
  bool sure[kFours];
  for (int f = 0; f < kFours; ++f) {
    sure[f] = pack_four<Loader, underflow>(data + f * 4 * kRow * Loader::kBytes, scales, codes + 4 * f, packed + f * 2 * kRow);
  }
  for (int f = 0; f < kFours; ++f) {
    if (HWY_LIKELY(sure[f])) continue;
    pack_divided<Loader>(data + f * 4 * kRow * Loader::kBytes, codes + 4 * f, 4, scales.global_scale, packed + f * 2 * kRow);
  }
}

template <class Loader>
HWY_INLINE void pack_group(const char* data, const CodeScales& scales, const uint8_t* HWY_RESTRICT codes, uint8_t* HWY_RESTRICT packed) {
  if (HWY_UNLIKELY(!scales.has(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes))))) {
    return pack_divided<Loader>(data, codes, kRowsPerGroup, scales.global_scale, packed);
  }
  if (HWY_UNLIKELY(scales.underflow)) return pack_ordinary_group<Loader, true>(data, scales, codes, packed);
  pack_ordinary_group<Loader, false>(data, scales, codes, packed);
}

#elif NVFP4CAL_FAST_PACK

// ---- AVX2: divisions, four rows at a time ------------------------------------------------------------------------------

struct CodeScales {
  static constexpr int kCodes = num::kE4m3Count + 2;
  HWY_ALIGN float scale[kCodes];

  HWY_INLINE explicit CodeScales(const LevelPlan& plan) {
    for (int code = 0; code < kCodes; code += kLanes) {
      hn::Store(hn::Mul(values_of(hn::Iota(DI(), code)), hn::Set(DF(), plan.global_scale)), DF(), scale + code);
    }
  }
};

template <class Loader>
HWY_INLINE void pack_group(const char* data, const CodeScales& scales, const uint8_t* HWY_RESTRICT codes, uint8_t* HWY_RESTRICT packed) {
  for (int first = 0; first < kRowsPerGroup; first += 4) {
    VU halves[2] = {hn::Zero(DU()), hn::Zero(DU())};  // of a row
    for (int r = 3; r >= 0; --r) {
      const VF scale = hn::Set(DF(), scales.scale[codes[first + r]]);
      const char* row = data + (first + r) * kRow * Loader::kBytes;
      for (int h = 0; h < 2; ++h) {
        halves[h] = hn::Or(hn::ShiftLeft<8>(halves[h]), element_codes(Loader::load(row + h * kLanes * Loader::kBytes), scale));
      }
    }
    const __m256 low = _mm256_castsi256_ps(join_nibbles(halves[0]).raw), high = _mm256_castsi256_ps(join_nibbles(halves[1]).raw);
    const __m256i words = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88));  // even words: low 0 2, high 0 2; low 4 6, high 4 6
    const __m256i bytes = _mm256_permute4x64_epi64(words, 0xD8);                    // byte r of word j: byte j of row r; low, then high
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(packed + first * (kRow / 2)), bytes_by_row(bytes));
  }
}

#endif

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
