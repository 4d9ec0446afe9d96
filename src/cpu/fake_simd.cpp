// Fake quantization on SIMD lanes: from elements to decoded values without nibbles between them. docs/numerics.md, "packing".
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/fake_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/chunk.h"
#include "cpu/decode_lanes-inl.h"
#include "cpu/level_cells-inl.h"
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
  const VF magnitude = hn::Min(hn::Abs(refined_quotient(x, scale, reciprocal)), hn::Set(df, 6.0f));
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
HWY_INLINE void fake_by_floats(const char* data, VF scales, char* out, Streaming streaming) {
  const DF df;
  const RowFactors factors(scales);
  for (int r = 0; r < kRowsPerGroup; ++r) {
    ask_for_next(data + r * kRow * Loader::kBytes, Loader::kBytes);
    const VF scale = hn::Set(df, factors.scale[r]), reciprocal = hn::Set(df, factors.reciprocal[r]), lost = hn::Set(df, factors.lost[r]);
    for (int i = 0; i < kRow; i += kLanes) {
      const VF x = Loader::load(data + (r * kRow + i) * Loader::kBytes);
      Storer::store(decoded_value(x, scale, reciprocal, lost), out + (r * kRow + i) * Storer::kBytes, streaming);
    }
  }
}

#if HWY_MAX_BYTES == 64

// ---- AVX-512, half types: levels by lookup --------------------------------------------------------------------------------

// 16 rows whose codes the plan has cells for.
template <class Format>
HWY_INLINE void fake_by_cells(const FakePlan& plan, const char* data, VI codes, char* out, Streaming streaming) {
  const __m512i code = codes.raw;
  __m512i mantissa = _mm512_and_si512(code, _mm512_set1_epi32(7));
  __m512i below_top = _mm512_sub_epi32(_mm512_set1_epi32(15), _mm512_srli_epi32(code, 3));
  if (HWY_UNLIKELY(_mm512_cmplt_epi32_mask(code, _mm512_set1_epi32(8)) != 0)) {  // their values are normal float32 numbers
    const __m512i bits = _mm512_castps_si512(values_of(codes).raw);
    mantissa = _mm512_and_si512(_mm512_srli_epi32(bits, 20), _mm512_set1_epi32(7));
    below_top = _mm512_sub_epi32(_mm512_set1_epi32(127 + 8), _mm512_srli_epi32(bits, 23));
  }
  const __m512i lowered = _mm512_slli_epi16(_mm512_or_si512(below_top, _mm512_slli_epi32(below_top, 16)), Format::kMantissaBits);
  const __m256i firsts = _mm256_load_si256(reinterpret_cast<const __m256i*>(plan.first));
  const __m512i first = _mm512_sub_epi16(_mm512_permutexvar_epi32(mantissa, _mm512_castsi256_si512(firsts)), lowered);
  alignas(64) uint32_t cells_at[16];  // in bytes
  _mm512_store_si512(cells_at, _mm512_slli_epi32(mantissa, 6));
  static_assert(sizeof(LevelCells) == 1 << 6);
  const auto cells_of = [&](int r) HWY_ATTR -> const LevelCells& {
    return *reinterpret_cast<const LevelCells*>(reinterpret_cast<const char*>(plan.cells) + cells_at[r]);
  };
  __m512i rows = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  for (int r = 0; r < 16; r += 2) {
    ask_for_next(data + r * 32, 2);
    const __m512i x = _mm512_loadu_si512(data + r * 32);
    put(values_by_cells<Format>(x, cells_of(r), cells_of(r + 1), _mm512_permutexvar_epi32(rows, first),
                                _mm512_permutexvar_epi32(rows, lowered)),
        out + r * 32, streaming);
    rows = _mm512_add_epi32(rows, _mm512_set1_epi32(2));
  }
}

#endif

// ---- groups of rows ----------------------------------------------------------------------------------------------------

template <class Loader>
using StorerLike = std::conditional_t<std::is_same_v<Loader, LoadF32>, StoreF32,
                                      std::conditional_t<std::is_same_v<Loader, LoadBf16>, StoreBf16, StoreF16>>;

#if HWY_MAX_BYTES == 64
template <class Loader>
using FormatLike = std::conditional_t<std::is_same_v<Loader, LoadBf16>, RoundBf16, RoundF16>;
#endif

// What groups of rows of one tensor are done with: what is fast where it holds.
template <class Loader>
class FakeGroups {
  using Storer = StorerLike<Loader>;

 public:
  HWY_INLINE FakeGroups(const FakePlan& plan, Streaming streaming) : plan_(plan), streaming_(streaming) {}

  HWY_INLINE void run(const char* data, const uint8_t* HWY_RESTRICT codes, char* out) const {
    const VI of_rows = hn::PromoteTo(DI(), hn::LoadU(hn::Rebind<uint8_t, DI>(), codes));
#if HWY_MAX_BYTES == 64
    if constexpr (Loader::kBytes == 2) {
      const VI least = hn::Set(DI(), plan_.least_code), largest = hn::Set(DI(), num::kE4m3Count);
      // the largest first: where no code has cells, the least is above it and none stays as it is
      if (HWY_LIKELY(hn::AllTrue(DI(), hn::Eq(hn::Max(hn::Min(of_rows, largest), least), of_rows)))) {
        return fake_by_cells<FormatLike<Loader>>(plan_, data, of_rows, out, streaming_);
      }
    }
#endif
    const VF scales = hn::Mul(values_of(of_rows), hn::Set(DF(), plan_.global_scale));
    const MF ordinary = hn::And(hn::Ge(scales, hn::Set(DF(), kLeastOrdinary)), hn::Lt(scales, hn::Set(DF(), kOrdinaryBelow)));
    if (HWY_LIKELY(hn::AllTrue(DF(), ordinary))) return fake_by_floats<Loader, Storer>(data, scales, out, streaming_);
    run_slowly(data, codes, kRowsPerGroup, out);
  }

  // Any number of rows.
  HWY_NOINLINE __attribute__((noclone)) void run_slowly(const char* data, const uint8_t* codes, int64_t rows, char* out) const {
    for (int64_t r = 0; r < rows; ++r) {
      const float scale = num::e4m3_magnitude(codes[r]) * plan_.global_scale;
      uint8_t packed[kRow / 2];
      pack_row<Loader>(data + r * kRow * Loader::kBytes, scale, packed);
      decode_to<Storer>(packed, kRow, 1, &scale, out + r * kRow * Storer::kBytes, streaming_);
    }
  }

 private:
  const FakePlan& plan_;
  const Streaming streaming_;
};

// A block of 32 has two rows.
template <class Loader>
void fake_blocks(const FakePlan& plan, const char* data, int64_t rows_per_block, int64_t rows, const uint8_t* HWY_RESTRICT codes, char* out,
                 Streaming streaming) {
  const FakeGroups<Loader> groups(plan, streaming);
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

void fake_plan([[maybe_unused]] Dtype dtype, float global_scale, FakePlan* plan) {
  plan->global_scale = global_scale;
#if HWY_MAX_BYTES == 64
  if (dtype == Dtype::kBf16) fill_level_plan<LoadBf16, RoundBf16>(global_scale, *plan);
  if (dtype == Dtype::kF16) fill_level_plan<LoadF16, RoundF16>(global_scale, *plan);
#endif
}

void fake_quantize(const FakePlan& plan, Span x, int block, int64_t blocks, const uint8_t* codes, const DecodedSpan& out) {
  const int64_t rows_per_block = block / kRow;
  with_loader(x.dtype, [&](auto loader) {
    fake_blocks<decltype(loader)>(plan, static_cast<const char*>(x.data), rows_per_block, blocks * rows_per_block, codes,
                                  static_cast<char*>(out.data), out.streaming);
    return 0;
  });
}
#endif

#if NVFP4CAL_REAL_SIMD
void fill_fake_kernels(Kernels& kernels) {
#if NVFP4CAL_FAST_PACK
  kernels.fake_plan = fake_plan;
  kernels.fake_quantize = fake_quantize;
#else
  (void)kernels;  // packs and decodes
#endif
}
#endif

}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
