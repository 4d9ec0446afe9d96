// Maxima, decoding and error sums on SIMD lanes: elements lie along the lanes as they do in memory.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/convert_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/simd-inl.h"
#include "cpu/simd_kernels.h"
#include "num/half.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// The largest of n magnitudes, as unsigned numbers of their own width, in both of which a larger number has larger bits.
template <class T>
T largest_magnitude(const char* data, int64_t n) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kSteps = 4, kLanesOfT = HWY_MAX_BYTES / sizeof(T);
  constexpr T kMagnitude = static_cast<T>(~T{0}) >> 1;
  const auto load = [&](int64_t i) HWY_ATTR { return hn::And(hn::LoadU(d, reinterpret_cast<const T*>(data) + i), hn::Set(d, kMagnitude)); };
  hn::Vec<decltype(d)> largest[kSteps] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  int64_t i = 0;
  for (; i + kSteps * kLanesOfT <= n; i += kSteps * kLanesOfT) {
    for (int k = 0; k < kSteps; ++k) largest[k] = hn::Max(largest[k], load(i + k * kLanesOfT));
  }
  for (; i + kLanesOfT <= n; i += kLanesOfT) largest[0] = hn::Max(largest[0], load(i));
  HWY_ALIGN T lanes[kLanesOfT];
  hn::Store(hn::Max(hn::Max(largest[0], largest[1]), hn::Max(largest[2], largest[3])), d, lanes);
  T result = 0;
  for (const T lane : lanes) result = lane > result ? lane : result;
  for (; i < n; ++i) {
    T value;
    memcpy(&value, data + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    value &= kMagnitude;
    result = value > result ? value : result;
  }
  return result;
}

uint32_t max_bits(Span x, int64_t n) {
  const char* data = static_cast<const char*>(x.data);
  if (x.dtype == Dtype::kF32) return largest_magnitude<uint32_t>(data, n);
  const uint16_t largest = largest_magnitude<uint16_t>(data, n);
  return num::bits_of(x.dtype == Dtype::kBf16 ? num::bf16_to_f32(largest) : num::f16_to_f32(largest));
}

// ---- decoding ----------------------------------------------------------------------------------------------------------

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

struct StoreF32 {
  static constexpr int64_t kBytes = 4;
  static HWY_INLINE void store(VF x, char* to) { hn::StoreU(x, DF(), reinterpret_cast<float*>(to)); }
};

// num::f32_to_bf16 of numbers and the NaN of an operation.
struct StoreBf16 {
  static constexpr int64_t kBytes = 2;
  static HWY_INLINE void store(VF x, char* to) {
    const DU du;
    const hn::Rebind<uint16_t, DU> d16;
    const VU bits = hn::BitCast(du, x);
    const VU odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const VU rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7FFF)), odd));
    hn::StoreU(hn::TruncateTo(d16, rounded), d16, reinterpret_cast<uint16_t*>(to));
  }
};

// num::f32_to_f16, likewise.
struct StoreF16 {
  static constexpr int64_t kBytes = 2;
  static HWY_INLINE void store(VF x, char* to) {
#if HWY_MAX_BYTES == 64
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(x.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif HWY_MAX_BYTES == 32
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(x.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
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

template <class Storer>
HWY_INLINE void decode_to(const uint8_t* HWY_RESTRICT packed, int block, int64_t blocks, const float* HWY_RESTRICT scales, char* out) {
  for (int64_t b = 0; b < blocks; ++b) {
    const VF scale = hn::Set(DF(), scales[b]);
    for (int i = 0; i < block; i += kLanes) {
      const int64_t element = b * block + i;
      Storer::store(hn::Mul(element_values(packed + element / 2), scale), out + element * Storer::kBytes);
    }
  }
}

#if HWY_MAX_BYTES == 64

// ---- AVX-512, half types: a table of 16 values a row --------------------------------------------------------------------

// Scales whose products with every level are normal numbers of the type: the products with 2^k are then those with 1, and those with 1.5 * 2^k
// the one with 1.5, but for the exponent. bits(): 16 numbers rounded, in the low halves of their lanes.
struct RoundBf16 {
  static constexpr int kMantissaBits = 7;
  static constexpr float kLeastScale = 0x1p-120f, kScalesBelow = 0x1p120f;
  static HWY_INLINE __m512i bits(__m512 x) {
    const __m512i wide = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(wide, 16), _mm512_set1_epi32(1));
    return _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(wide, _mm512_set1_epi32(0x7FFF)), odd), 16);
  }
};

struct RoundF16 {
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

// 16 rows of 16 elements; scales: of the rows, in range.
template <class Format>
HWY_INLINE void decode_rows(const uint8_t* HWY_RESTRICT packed, __m512 scales, uint16_t* HWY_RESTRICT out) {
  static constexpr LevelHalves<Format> kLevelHalves;
  constexpr __mmask32 kNotZero = 0xFEFEFEFEu;
  const __m512i one = Format::bits(scales), one_and_half = Format::bits(_mm512_mul_ps(scales, _mm512_set1_ps(1.5f)));
  const __m512i both = _mm512_or_si512(one, _mm512_slli_epi32(one_and_half, 16));  // word 2 r + odd: of row r
  const __m512i exponents = _mm512_load_si512(kLevelHalves.exponent), zeros = _mm512_load_si512(kLevelHalves.zero);
  const __m512i second_row = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
  __m512i words = _mm512_add_epi16(_mm512_load_si512(kLevelHalves.odd), second_row);
  const __m512i second_table = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(16), 1);
  for (int r = 0; r < 16; r += 2) {
    const __m512i table = _mm512_mask_add_epi16(zeros, kNotZero, _mm512_permutexvar_epi16(words, both), exponents);
    const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + r * 8)));
    // the two codes of a byte to the two halves of its lane
    const __m512i codes = _mm512_ternarylogic_epi32(bytes, _mm512_slli_epi32(bytes, 12), _mm512_set1_epi32(0x000F000F), 0xA8);
    _mm512_storeu_si512(out + r * 16, _mm512_permutexvar_epi16(_mm512_or_si512(codes, second_table), table));
    words = _mm512_add_epi16(words, _mm512_set1_epi16(4));
  }
}

template <class Format, class Storer>
HWY_INLINE void decode_halves(const uint8_t* HWY_RESTRICT packed, int block, int64_t blocks, const float* HWY_RESTRICT scales, char* out) {
  const int64_t blocks_per_group = 256 / block;
  int64_t b = 0;
  for (; b + blocks_per_group <= blocks; b += blocks_per_group) {
    const __m512i row_pairs = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512 of_rows =
        block == 16 ? _mm512_loadu_ps(scales + b) : _mm512_permutexvar_ps(row_pairs, _mm512_castps256_ps512(_mm256_loadu_ps(scales + b)));
    const uint8_t* const from = packed + b * block / 2;
    char* const to = out + b * block * 2;
    const __mmask16 in_range = _mm512_cmp_ps_mask(of_rows, _mm512_set1_ps(Format::kLeastScale), _CMP_GE_OQ) &
                               _mm512_cmp_ps_mask(of_rows, _mm512_set1_ps(Format::kScalesBelow), _CMP_LT_OQ);
    if (HWY_LIKELY(in_range == 0xFFFF)) {
      decode_rows<Format>(from, of_rows, reinterpret_cast<uint16_t*>(to));
    } else {
      decode_to<Storer>(from, block, blocks_per_group, scales + b, to);
    }
  }
  decode_to<Storer>(packed + b * block / 2, block, blocks - b, scales + b, out + b * block * 2);
}

#endif

void decode(const uint8_t* packed, int block, int64_t blocks, const float* scales, Dtype dtype, void* out) {
  char* to = static_cast<char*>(out);
#if HWY_MAX_BYTES == 64
  if (dtype == Dtype::kBf16) return decode_halves<RoundBf16, StoreBf16>(packed, block, blocks, scales, to);
  if (dtype == Dtype::kF16) return decode_halves<RoundF16, StoreF16>(packed, block, blocks, scales, to);
#endif
  if (dtype == Dtype::kBf16) return decode_to<StoreBf16>(packed, block, blocks, scales, to);
  if (dtype == Dtype::kF16) return decode_to<StoreF16>(packed, block, blocks, scales, to);
  decode_to<StoreF32>(packed, block, blocks, scales, to);
}

// ---- errors ------------------------------------------------------------------------------------------------------------

template <class Loader>
void squared_error_of(const char* data, const float* HWY_RESTRICT decoded, int64_t n, double* HWY_RESTRICT sums) {
  const DF df;
  const hn::Repartition<double, DF> dd;
  const hn::Half<DF> half;
  constexpr int kHalf = kLanes / 2;
  for (int part = 0; part < 16; part += kLanes) {  // a vector of the 16 columns at a time: their sums stay in four registers
    auto error0 = hn::LoadU(dd, sums + part), error1 = hn::LoadU(dd, sums + part + kHalf);
    auto energy0 = hn::LoadU(dd, sums + 16 + part), energy1 = hn::LoadU(dd, sums + 16 + part + kHalf);
    for (int64_t i = part; i < n; i += 16) {
      const VF x = Loader::load(data + i * Loader::kBytes);
      const auto x0 = hn::PromoteTo(dd, hn::LowerHalf(half, x)), x1 = hn::PromoteTo(dd, hn::UpperHalf(half, x));
      const auto r0 = hn::Sub(x0, hn::PromoteTo(dd, hn::LoadU(half, decoded + i)));
      const auto r1 = hn::Sub(x1, hn::PromoteTo(dd, hn::LoadU(half, decoded + i + kHalf)));
      error0 = hn::Add(error0, hn::Mul(r0, r0));
      error1 = hn::Add(error1, hn::Mul(r1, r1));
      energy0 = hn::Add(energy0, hn::Mul(x0, x0));
      energy1 = hn::Add(energy1, hn::Mul(x1, x1));
    }
    hn::StoreU(error0, dd, sums + part);
    hn::StoreU(error1, dd, sums + part + kHalf);
    hn::StoreU(energy0, dd, sums + 16 + part);
    hn::StoreU(energy1, dd, sums + 16 + part + kHalf);
  }
}

void squared_error(Span x, const float* decoded, int64_t n, double* sums) {
  with_loader(x.dtype, [&](auto loader) {
    squared_error_of<decltype(loader)>(static_cast<const char*>(x.data), decoded, n, sums);
    return 0;
  });
}

void fill_convert_kernels(Kernels& kernels) {
  kernels.max_bits = max_bits;
  kernels.decode = decode;
  kernels.squared_error = squared_error;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
