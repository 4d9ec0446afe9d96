// Decoded values on SIMD lanes, and how they are stored. Included once per target.
#if defined(NVFP4CAL_CPU_DECODE_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_DECODE_LANES_INL_H
#undef NVFP4CAL_CPU_DECODE_LANES_INL_H
#else
#define NVFP4CAL_CPU_DECODE_LANES_INL_H
#endif

#include "cpu/simd-inl.h"
#include "num/half.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// ---- stores ------------------------------------------------------------------------------------------------------------

#if HWY_MAX_BYTES >= 32
// Whole lines, or the parts of one that follow each other: a line that is streamed whole is not read first.
HWY_INLINE void put(__m128i bytes, char* to, Streaming streaming) {
  if (streaming != Streaming::kNone) return _mm_stream_si128(reinterpret_cast<__m128i*>(to), bytes);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
}
HWY_INLINE void put(__m256i bytes, char* to, Streaming streaming) {
  if (streaming == Streaming::kNone) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
  put(_mm256_castsi256_si128(bytes), to, Streaming::kSixteens);
  put(_mm256_extracti128_si256(bytes, 1), to + 16, Streaming::kSixteens);
}
#endif
#if HWY_MAX_BYTES == 64
HWY_INLINE void put(__m512i bytes, char* to, Streaming streaming) {
  if (streaming == Streaming::kNone) return _mm512_storeu_si512(to, bytes);
  if (streaming == Streaming::kLines) return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), bytes);
  put(_mm512_castsi512_si256(bytes), to, Streaming::kSixteens);
  put(_mm512_extracti64x4_epi64(bytes, 1), to + 32, Streaming::kSixteens);
}
#endif

struct StoreF32 {
  static constexpr int64_t kBytes = 4;
  static HWY_INLINE void store(VF x, char* to, [[maybe_unused]] Streaming streaming) {
#if HWY_MAX_BYTES >= 32
    put(hn::BitCast(DU(), x).raw, to, streaming);
#else
    hn::StoreU(x, DF(), reinterpret_cast<float*>(to));
#endif
  }
};

// num::f32_to_bf16 of numbers and the NaN of an operation.
struct StoreBf16 {
  static constexpr int64_t kBytes = 2;
  static HWY_INLINE void store(VF x, char* to, [[maybe_unused]] Streaming streaming) {
    const DU du;
    const hn::Rebind<uint16_t, DU> d16;
    const VU bits = hn::BitCast(du, x);
    const VU odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::TruncateTo(d16, hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7FFF)), odd)));
#if HWY_MAX_BYTES >= 32
    put(rounded.raw, to, streaming);
#else
    hn::StoreU(rounded, d16, reinterpret_cast<uint16_t*>(to));
#endif
  }
};

// num::f32_to_f16, likewise.
struct StoreF16 {
  static constexpr int64_t kBytes = 2;
  static HWY_INLINE void store(VF x, char* to, [[maybe_unused]] Streaming streaming) {
#if HWY_MAX_BYTES == 64
    put(_mm512_cvtps_ph(x.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), to, streaming);
#elif HWY_MAX_BYTES == 32
    put(_mm256_cvtps_ph(x.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), to, streaming);
#else
    HWY_ALIGN float lanes[kLanes];
    hn::Store(x, DF(), lanes);
    for (int i = 0; i < kLanes; ++i) {
      const uint16_t half = num::f32_to_f16(lanes[i]);
      memcpy(to + 2 * i, &half, 2);
    }
#endif
  }
};

// ---- values ------------------------------------------------------------------------------------------------------------

// E2M1 values of the codes in kLanes / 2 bytes: lower nibbles first.
HWY_INLINE VF element_values(const uint8_t* HWY_RESTRICT packed) {
  const DU du;
  const hn::Repartition<uint64_t, DU> du64;
  const hn::Rebind<uint32_t, decltype(du64)> d32;
  const hn::Rebind<uint8_t, decltype(du64)> d8;
  const auto byte = hn::PromoteTo(du64, hn::PromoteTo(d32, hn::LoadU(d8, packed)));
  const VU code = hn::BitCast(du, hn::Or(byte, hn::ShiftLeft<28>(byte)));  // in the last four bits
#if HWY_MAX_BYTES == 64
  return VF{_mm512_permutexvar_ps(code.raw, _mm512_setr_ps(0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -.5f, -1, -1.5f, -2, -3, -4, -6))};
#else
  const DF df;
  const VU sign = hn::And(hn::ShiftLeft<28>(code), hn::Set(du, ~num::kAbsMask));
#if HWY_MAX_BYTES == 32
  const VU value = VU{_mm256_castps_si256(_mm256_permutevar8x32_ps(_mm256_setr_ps(0, .5f, 1, 1.5f, 2, 3, 4, 6), code.raw))};
#else
  // codes 2..7 are the leading bits of their float32 values, less 252: 2 -> 1, 3 -> 1.5, 4 -> 2, ...
  const VU magnitude = hn::And(code, hn::Set(du, 7));
  const VF normal = hn::BitCast(df, hn::ShiftLeft<22>(hn::Add(magnitude, hn::Set(du, 252))));
  const VF half = hn::IfThenElseZero(hn::RebindMask(df, hn::Eq(magnitude, hn::Set(du, 1))), hn::Set(df, 0.5f));
  const VU value = hn::BitCast(du, hn::IfThenElse(hn::RebindMask(df, hn::Gt(magnitude, hn::Set(du, 1))), normal, half));
#endif
  return hn::BitCast(df, hn::Or(value, sign));
#endif
}

template <class Storer>
HWY_INLINE void decode_to(const uint8_t* HWY_RESTRICT packed, int block, int64_t blocks, const float* HWY_RESTRICT scales, char* out,
                          Streaming streaming) {
  for (int64_t b = 0; b < blocks; ++b) {
    const VF scale = hn::Set(DF(), scales[b]);
    for (int i = 0; i < block; i += kLanes) {
      const int64_t element = b * block + i;
      Storer::store(hn::Mul(element_values(packed + element / 2), scale), out + element * Storer::kBytes, streaming);
    }
  }
}

#if HWY_MAX_BYTES == 64

// ---- AVX-512, half types: a table of 16 values a row --------------------------------------------------------------------

// Scales whose products with every level are normal numbers of the type: the products with 2^k are then those with 1, and those with 1.5 * 2^k
// the one with 1.5, but for the exponent. bits(): 16 numbers rounded, in the low halves of their lanes.
struct RoundBf16 {
  using Storer = StoreBf16;
  static constexpr int kMantissaBits = 7;
  static constexpr float kLeastScale = 0x1p-120f, kScalesBelow = 0x1p120f;
  static HWY_INLINE __m512i bits(__m512 x) {
    const __m512i wide = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(wide, 16), _mm512_set1_epi32(1));
    return _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(wide, _mm512_set1_epi32(0x7FFF)), odd), 16);
  }
};

struct RoundF16 {
  using Storer = StoreF16;
  static constexpr int kMantissaBits = 10;
  static constexpr float kLeastScale = 0x1p-13f, kScalesBelow = 0x1p13f;
  static HWY_INLINE __m512i bits(__m512 x) {
    return _mm512_cvtepu16_epi32(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
};

template <class Format>
struct LevelHalves {
  // For codes 0 .. 15, twice: whether a level is 1.5 * 2^k; k in place of the exponent, with the sign; zeros.
  alignas(64) uint16_t odd[32], exponent[32], zero[32];
  constexpr LevelHalves() : odd(), exponent(), zero() {
    constexpr int kPowers[8] = {0, -1, 0, 0, 1, 1, 2, 2};
    for (int i = 0; i < 32; ++i) {
      const int level = i % 8, sign = i % 16 < 8 ? 0 : 0x8000;
      odd[i] = static_cast<uint16_t>(level >= 3 && level % 2 == 1);
      exponent[i] = static_cast<uint16_t>(kPowers[level] * (1 << Format::kMantissaBits) + sign);
      zero[i] = static_cast<uint16_t>(sign);
    }
  }
};

// Whether level tables of 16 rows with these scales are right.
template <class Format>
HWY_INLINE bool tables_hold(__m512 scales) {
  return (_mm512_cmp_ps_mask(scales, _mm512_set1_ps(Format::kLeastScale), _CMP_GE_OQ) &
          _mm512_cmp_ps_mask(scales, _mm512_set1_ps(Format::kScalesBelow), _CMP_LT_OQ)) == 0xFFFF;
}

// Decoded values of the codes 0 .. 15 of one row after the other, two rows at a time.
template <class Format>
class LevelTables {
  static constexpr LevelHalves<Format> kLevelHalves = {};

 public:
  HWY_INLINE explicit LevelTables(__m512 scales) {
    const __m512i one = Format::bits(scales), one_and_half = Format::bits(_mm512_mul_ps(scales, _mm512_set1_ps(1.5f)));
    both_ = _mm512_or_si512(one, _mm512_slli_epi32(one_and_half, 16));
    const __m512i second_row = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    words_ = _mm512_add_epi16(_mm512_load_si512(kLevelHalves.odd), second_row);
  }
  HWY_INLINE __m512i next() {
    constexpr __mmask32 kNotZero = 0xFEFEFEFEu;
    const __m512i exponents = _mm512_load_si512(kLevelHalves.exponent), zeros = _mm512_load_si512(kLevelHalves.zero);
    const __m512i table = _mm512_mask_add_epi16(zeros, kNotZero, _mm512_permutexvar_epi16(words_, both_), exponents);
    words_ = _mm512_add_epi16(words_, _mm512_set1_epi16(4));
    return table;
  }

 private:
  __m512i both_;   // word 2 r + odd: of row r
  __m512i words_;  // which of them the codes of the next two rows need
};

// 16 rows of 16 elements.
template <class Format>
HWY_INLINE void decode_rows(const uint8_t* HWY_RESTRICT packed, __m512 scales, char* HWY_RESTRICT out, Streaming streaming) {
  const __m512i second_table = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(16), 1);
  LevelTables<Format> tables(scales);
  for (int r = 0; r < 16; r += 2) {
    const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + r * 8)));
    // the two codes of a byte to the two halves of its lane
    const __m512i codes = _mm512_ternarylogic_epi32(bytes, _mm512_slli_epi32(bytes, 12), _mm512_set1_epi32(0x000F000F), 0xA8);
    put(_mm512_permutexvar_epi16(_mm512_or_si512(codes, second_table), tables.next()), out + r * 32, streaming);
  }
}

template <class Format>
HWY_INLINE void decode_halves(const uint8_t* HWY_RESTRICT packed, int block, int64_t blocks, const float* HWY_RESTRICT scales, char* out,
                              Streaming streaming) {
  using Storer = typename Format::Storer;
  const int64_t blocks_per_group = 256 / block;
  int64_t b = 0;
  for (; b + blocks_per_group <= blocks; b += blocks_per_group) {
    const __m512i row_pairs = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512 of_rows =
        block == 16 ? _mm512_loadu_ps(scales + b) : _mm512_permutexvar_ps(row_pairs, _mm512_castps256_ps512(_mm256_loadu_ps(scales + b)));
    const uint8_t* const from = packed + b * block / 2;
    char* const to = out + b * block * 2;
    if (HWY_LIKELY(tables_hold<Format>(of_rows))) {
      decode_rows<Format>(from, of_rows, to, streaming);
    } else {
      decode_to<Storer>(from, block, blocks_per_group, scales + b, to, streaming);
    }
  }
  decode_to<Storer>(packed + b * block / 2, block, blocks - b, scales + b, out + b * block * 2, streaming);
}

#endif

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
