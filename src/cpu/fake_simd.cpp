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
// written. An address past the tensor's end does no harm. Into the second level: it takes more requests at a time than the first. Half types are done
// sooner than what was asked for a tile ago is there.
HWY_INLINE void ask_for_next(const char* data, int64_t bytes) {
  __builtin_prefetch(data + kTileElements * bytes + (bytes == 2 ? 2048 : 0), 0, 2);
}

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

template <class Format>
HWY_INLINE void fake_by_cells(const LevelPlan& plan, const char* data, const uint8_t* codes, VI of_rows, char* out, Streaming streaming) {
  const CellRows<Format> rows(plan, codes, of_rows);
  for (int r = 0; r < 16; r += 2) {
    ask_for_next(data + r * 32, 2);
    const __m512i x = _mm512_loadu_si512(data + r * 32);
    const __m512i magnitude = _mm512_subs_epu16(rows.values(magnitudes_of(x), r), rows.lowered(r));  // zero stays zero
    // negative: above 0x8000, which is -0
    put(_mm512_ternarylogic_epi32(magnitude, _mm512_subs_epu16(x, _mm512_set1_epi16(1)), _mm512_set1_epi16(static_cast<int16_t>(0x8000)),
                                  0xF8),
        out + r * 32, streaming);
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

 public:
  HWY_INLINE FakeGroups(const LevelPlan& plan, Streaming streaming) : plan_(plan), streaming_(streaming) {}

  HWY_INLINE void run(const char* data, const uint8_t* HWY_RESTRICT codes, char* out) const {
    const VI of_rows = in_lanes(codes);
#if HWY_MAX_BYTES == 64
    if constexpr (Loader::kBytes == 2) {
      if (HWY_LIKELY(has_cells(plan_, of_rows))) return fake_by_cells<FormatLike<Loader>>(plan_, data, codes, of_rows, out, streaming_);
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
  const LevelPlan& plan_;
  const Streaming streaming_;
};

// A block of 32 has two rows.
template <class Loader>
void fake_blocks(const LevelPlan& plan, const char* data, int64_t rows_per_block, int64_t rows, const uint8_t* HWY_RESTRICT codes,
                 char* out, Streaming streaming) {
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

void level_plan([[maybe_unused]] Dtype dtype, float global_scale, [[maybe_unused]] LevelUse use, LevelPlan* plan) {
  plan->global_scale = global_scale;
#if HWY_MAX_BYTES == 64
  if (dtype == Dtype::kBf16) fill_level_plan<LoadBf16, RoundBf16>(global_scale, use, *plan);
  if (dtype == Dtype::kF16) fill_level_plan<LoadF16, RoundF16>(global_scale, use, *plan);
#endif
}

void fake_quantize(const LevelPlan& plan, Span x, int block, int64_t blocks, const uint8_t* codes, const DecodedSpan& out) {
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
  kernels.level_plan = level_plan;
  kernels.fake_quantize = fake_quantize;
#else
  (void)kernels;  // packs and decodes
#endif
}
#endif

}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
