// Fake quantization on SIMD lanes: from elements to decoded values without nibbles between them. docs/numerics.md, "packing".
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/fake_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/chunk.h"
#include "cpu/decode_lanes-inl.h"
#include "cpu/pack_halves-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD && NVFP4CAL_FAST_PACK

// Callers go through a tensor by tiles, and a tile's codes are found before it comes here: what the next one needs is read while this one is
// written. An address past the tensor's end does no harm.
HWY_INLINE void ask_for_next(const char* data, int64_t bytes) { __builtin_prefetch(data + kTileElements * bytes); }

// ---- rows of floats ----------------------------------------------------------------------------------------------------

// Scales whose reciprocals and quotients near the levels are normal numbers.
constexpr float kLeastOrdinary = 0x1p-90f, kOrdinaryBelow = 0x1p90f;

// What the rows of a group are computed with.
struct RowFactors {
  HWY_ALIGN float scale[kLanes];
  HWY_ALIGN float reciprocal[kLanes];
  HWY_ALIGN float lost[kLanes];  // the negative number from which on quotients underflow: -scale * 2^-150, cut off to a multiple of 2^-149

  HWY_INLINE explicit RowFactors(VF scales) {
    const DF df;
    hn::Store(scales, df, scale);
    hn::Store(hn::Div(hn::Set(df, 1.0f), scales), df, reciprocal);
    hn::Store(hn::Mul(hn::Mul(hn::Floor(hn::Mul(scales, hn::Set(df, 0.5f))), hn::Set(df, -0x1p-60f)), hn::Set(df, 0x1p-89f)), df, lost);
  }
};

// scale * level of x / scale. Two steps from x * reciprocal give a quotient that rounds to the same level as the correctly rounded one does
// (docs/numerics.md); one that overflows becomes NaN, for which Min gives 6.
HWY_INLINE VF decoded_value(VF x, VF scale, VF reciprocal, VF lost) {
  const DF df;
  const DU du;
  const VF estimate = hn::Mul(x, reciprocal);
  const VF quotient = hn::MulAdd(hn::NegMulAdd(estimate, scale, x), reciprocal, estimate);
  const VF magnitude = hn::Min(hn::Abs(quotient), hn::Set(df, 6.0f));
  // as num::e2m1_round: adding 2^22 times the power of two leaves the level
  const VU power = hn::And(hn::BitCast(du, hn::Max(magnitude, hn::Set(df, 1.0f))), hn::Set(du, num::kInfBits));
  const VF magic = hn::BitCast(df, hn::Add(power, hn::Set(du, 22u << 23)));
  const VF value = hn::Mul(hn::Sub(hn::Add(magnitude, magic), magic), scale);
#if HWY_MAX_BYTES == 64
  return VF{_mm512_mask_or_ps(value.raw, _mm512_cmp_ps_mask(x.raw, lost.raw, _CMP_LT_OQ), value.raw, _mm512_set1_ps(-0.0f))};
#else
  return hn::Or(value, hn::And(hn::VecFromMask(df, hn::Lt(x, lost)), hn::Set(df, -0.0f)));
#endif
}

template <class Loader, class Storer>
HWY_INLINE void fake_by_floats(const char* data, VF scales, char* out, bool streamed) {
  const DF df;
  const RowFactors factors(scales);
  for (int r = 0; r < kRowsPerGroup; ++r) {
    ask_for_next(data + r * kRow * Loader::kBytes, Loader::kBytes);
    const VF scale = hn::Set(df, factors.scale[r]), reciprocal = hn::Set(df, factors.reciprocal[r]), lost = hn::Set(df, factors.lost[r]);
    for (int i = 0; i < kRow; i += kLanes) {
      const VF x = Loader::load(data + (r * kRow + i) * Loader::kBytes);
      Storer::store(decoded_value(x, scale, reciprocal, lost), out + (r * kRow + i) * Storer::kBytes, streamed);
    }
  }
}

#if HWY_MAX_BYTES == 64

// ---- AVX-512, half types: thresholds in place of quotients, tables in place of products -----------------------------------

// Codes of 16 elements in sixteen-bit lanes; the row's thresholds less 1 are at t + 16 k. Comparisons stay in vectors: masks are slower.
HWY_INLINE __m256i codes_of_row(__m256i x, const uint32_t* t) {
  constexpr int kChoose = 0xCA, kOrAnd = 0xF8;  // a ? b : c; a | b & c
  const auto at = [t](int k) HWY_ATTR { return _mm256_set1_epi32(static_cast<int>(t[16 * k])); };
  const __m256i magnitude = _mm256_and_si256(x, _mm256_set1_epi16(0x7FFF));
  const __m256i four = _mm256_cmpgt_epi16(magnitude, at(3));
  const __m256i two = _mm256_cmpgt_epi16(magnitude, _mm256_ternarylogic_epi32(four, at(5), at(1), kChoose));
  const __m256i lower = _mm256_ternarylogic_epi32(two, at(2), at(0), kChoose),
                upper = _mm256_ternarylogic_epi32(two, at(6), at(4), kChoose);
  const __m256i one = _mm256_cmpgt_epi16(magnitude, _mm256_ternarylogic_epi32(four, upper, lower, kChoose));
  __m256i code = _mm256_ternarylogic_epi32(_mm256_and_si256(two, _mm256_set1_epi16(2)), four, _mm256_set1_epi16(4), kOrAnd);
  code = _mm256_ternarylogic_epi32(code, one, _mm256_set1_epi16(1), kOrAnd);
  // negative: above 0x8000, which is -0
  return _mm256_ternarylogic_epi32(code, _mm256_srli_epi16(_mm256_subs_epu16(x, _mm256_set1_epi16(1)), 12), _mm256_set1_epi16(8), kOrAnd);
}

template <class Format, class Loader>
HWY_INLINE void fake_by_thresholds(const char* data, const Thresholds<Loader>& thresholds, __m512 scales, char* out, bool streamed) {
  alignas(64) uint32_t of_rows[7 * 16];
  for (int k = 0; k < 7; ++k) _mm512_store_si512(of_rows + 16 * k, _mm512_sub_epi16(thresholds.at[k], _mm512_set1_epi16(1)));
  LevelTables<Format> tables(scales);
  for (int r = 0; r < 16; r += 2) {
    ask_for_next(data + r * 32, 2);
    const __m512i two_rows = tables.next();
    const __m256i table0 = _mm512_castsi512_si256(two_rows), table1 = _mm512_extracti64x4_epi64(two_rows, 1);
    const __m256i* const x = reinterpret_cast<const __m256i*>(data + r * 32);
    put(_mm256_permutexvar_epi16(codes_of_row(_mm256_loadu_si256(x), of_rows + r), table0), out + r * 32, streamed);
    put(_mm256_permutexvar_epi16(codes_of_row(_mm256_loadu_si256(x + 1), of_rows + r + 1), table1), out + r * 32 + 32, streamed);
  }
}

#endif

// ---- groups of rows ----------------------------------------------------------------------------------------------------

template <class Loader>
using StorerLike = std::conditional_t<std::is_same_v<Loader, LoadF32>, StoreF32,
                                      std::conditional_t<std::is_same_v<Loader, LoadBf16>, StoreBf16, StoreF16>>;

// What groups of rows of one tensor are done with: what is fast where it holds.
template <class Loader>
class FakeGroups {
  using Storer = StorerLike<Loader>;
#if HWY_MAX_BYTES == 64
  using Format = std::conditional_t<std::is_same_v<Loader, LoadBf16>, RoundBf16, RoundF16>;
  static constexpr bool kHalves = Loader::kBytes == 2;
#else
  static constexpr bool kHalves = false;
#endif
  struct Nothing {
    explicit Nothing(float) {}
  };

 public:
  HWY_INLINE FakeGroups(float global_scale, bool streamed) : global_scale_(global_scale), streamed_(streamed), ladder_(global_scale) {}

  HWY_INLINE void run(const char* data, const uint8_t* HWY_RESTRICT codes, char* out) const {
    const VI of_rows = hn::PromoteTo(DI(), hn::LoadU(hn::Rebind<uint8_t, DI>(), codes));
    const VF scales = hn::Mul(values_of(of_rows), hn::Set(DF(), global_scale_));
#if HWY_MAX_BYTES == 64
    if constexpr (kHalves) {
      if (HWY_LIKELY(ladder_.has(of_rows) && tables_hold<Format>(scales.raw))) {
        return fake_by_thresholds<Format, Loader>(data, ladder_.of(of_rows), scales.raw, out, streamed_);
      }
    }
#endif
    const MF ordinary = hn::And(hn::Ge(scales, hn::Set(DF(), kLeastOrdinary)), hn::Lt(scales, hn::Set(DF(), kOrdinaryBelow)));
    if (HWY_LIKELY(hn::AllTrue(DF(), ordinary))) return fake_by_floats<Loader, Storer>(data, scales, out, streamed_);
    run_slowly(data, codes, kRowsPerGroup, out);
  }

  // Any number of rows.
  HWY_NOINLINE __attribute__((noclone)) void run_slowly(const char* data, const uint8_t* codes, int64_t rows, char* out) const {
    for (int64_t r = 0; r < rows; ++r) {
      const float scale = num::e4m3_magnitude(codes[r]) * global_scale_;
      uint8_t packed[kRow / 2];
      pack_row<Loader>(data + r * kRow * Loader::kBytes, scale, packed);
      decode_to<Storer>(packed, kRow, 1, &scale, out + r * kRow * Storer::kBytes, streamed_);
    }
  }

 private:
  const float global_scale_;
  const bool streamed_;
#if HWY_MAX_BYTES == 64
  std::conditional_t<kHalves, ThresholdLadder<std::conditional_t<kHalves, Loader, LoadBf16>>, Nothing> ladder_;
#else
  Nothing ladder_;
#endif
};

// A block of 32 has two rows.
template <class Loader>
void fake_blocks(const char* data, int64_t rows_per_block, int64_t rows, const uint8_t* HWY_RESTRICT codes, float global_scale, char* out,
                 bool streamed) {
  const FakeGroups<Loader> groups(global_scale, streamed);
  for (int64_t row = 0; row < rows; row += kRowsPerGroup) {
    const int64_t count = HWY_MIN(kRowsPerGroup, rows - row), at = row * kRow * Loader::kBytes;
    uint8_t row_codes[kRowsPerGroup];
    const uint8_t* const of_group = codes_of_rows(codes, rows_per_block, row, count, row_codes);
    if (count < kRowsPerGroup) {
      groups.run_slowly(data + at, of_group, count, out + at);
    } else {
      groups.run(data + at, of_group, out + at);
    }
  }
}

void fake_quantize(Span x, int block, int64_t blocks, const uint8_t* codes, float global_scale, const DecodedSpan& out) {
  const int64_t rows_per_block = block / kRow;
  with_loader(x.dtype, [&](auto loader) {
    fake_blocks<decltype(loader)>(static_cast<const char*>(x.data), rows_per_block, blocks * rows_per_block, codes, global_scale,
                                  static_cast<char*>(out.data), out.streamed);
    return 0;
  });
}
#endif

#if NVFP4CAL_REAL_SIMD
void fill_fake_kernels(Kernels& kernels) {
#if NVFP4CAL_FAST_PACK
  kernels.fake_quantize = fake_quantize;
#else
  (void)kernels;  // packs and decodes
#endif
}
#endif

}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
