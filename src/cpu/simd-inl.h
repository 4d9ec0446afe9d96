// Shared by the SIMD kernels: typed loads, transposes (lane = block) and E2M1 rounding. Included once per target.
#if defined(NVFP4CAL_CPU_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_SIMD_INL_H
#undef NVFP4CAL_CPU_SIMD_INL_H
#else
#define NVFP4CAL_CPU_SIMD_INL_H
#endif

#include <type_traits>

#include <hwy/highway.h>

#include "cpu/kernels.h"
#include "cpu/simd_targets.h"
#include "num/bits.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DU = hn::ScalableTag<uint32_t>;
using DI = hn::ScalableTag<int32_t>;
using VF = hn::Vec<DF>;
using VU = hn::Vec<DU>;
using VI = hn::Vec<DI>;
using MF = hn::Mask<DF>;

constexpr int kLanes = HWY_MAX_BYTES / 4;
constexpr int64_t kRow = 16;  // elements that are packed, decoded or measured at a time: a block, or half of one

// ---- loads: kLanes elements as float32 ---------------------------------------------------------------------------------

struct LoadF32 {
  static constexpr int64_t kBytes = 4;
  static HWY_INLINE VF load(const char* p) { return hn::LoadU(DF(), reinterpret_cast<const float*>(p)); }
};

struct LoadBf16 {
  static constexpr int64_t kBytes = 2;
  static HWY_INLINE VF load(const char* p) {
    const hn::Rebind<uint16_t, DU> d16;
    const auto wide = hn::PromoteTo(DU(), hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p)));
    return hn::BitCast(DF(), hn::ShiftLeft<16>(wide));
  }
};

struct LoadF16 {
  static constexpr int64_t kBytes = 2;
  // |x| of the 16 bits h. Exponent and mantissa moved into place make x * 2^-112, subnormals included; infinities and NaN
  // come out at 2^16 and above.
  static HWY_INLINE VF magnitude(VU h) {
    const DF df;
    const VF scaled = hn::BitCast(df, hn::ShiftLeft<13>(hn::And(h, hn::Set(DU(), 0x7FFFu))));
    const VF magnitude = hn::Mul(scaled, hn::Set(df, 0x1p112f));
    return hn::IfThenElse(hn::Ge(magnitude, hn::Set(df, 0x1p16f)), hn::Set(df, num::from_bits(num::kInfBits)), magnitude);
  }
  static HWY_INLINE VF load(const char* p) {
#if HWY_MAX_BYTES == 64
    return VF{_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
#elif HWY_MAX_BYTES == 32
    return VF{_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
#else
    const DU du;
    const hn::Rebind<uint16_t, DU> d16;
    const VU h = hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p)));
    const VU sign = hn::ShiftLeft<16>(hn::And(h, hn::Set(du, 0x8000u)));
    return hn::BitCast(DF(), hn::Or(hn::BitCast(du, magnitude(h)), sign));
#endif
  }
};

// Calls body with the loader of the span's dtype.
template <class Body>
HWY_INLINE auto with_loader(Dtype dtype, Body&& body) {
  if (dtype == Dtype::kBf16) return body(LoadBf16());
  if (dtype == Dtype::kF16) return body(LoadF16());
  return body(LoadF32());
}

// ---- transposes: lane = block ------------------------------------------------------------------------------------------

#if HWY_MAX_BYTES < 64
// 4 floats of every row r, r + 4, r + 8, ... in one vector, one row per 128 bits.
HWY_INLINE VF load_quads(const float* p, int64_t row_stride) {
#if HWY_MAX_BYTES == 32
  const hn::Half<DF> half;
  return hn::Combine(DF(), hn::LoadU(half, p + 4 * row_stride), hn::LoadU(half, p));
#else
  (void)row_stride;
  return hn::LoadU(DF(), p);
#endif
}
#endif

#if HWY_MAX_BYTES == 64
// Column c and column c + 4, c = 0 .. 3, in turns of four numbers, one from each of v: where 128 bits of v hold columns 0 .. 3 of a row, the next ones columns 4 .. 7.
HWY_INLINE void interleave_four(const __m512* HWY_RESTRICT v, __m512* HWY_RESTRICT columns) {
  const __m512d ab0 = _mm512_castps_pd(_mm512_unpacklo_ps(v[0], v[1])), ab1 = _mm512_castps_pd(_mm512_unpackhi_ps(v[0], v[1]));
  const __m512d cd0 = _mm512_castps_pd(_mm512_unpacklo_ps(v[2], v[3])), cd1 = _mm512_castps_pd(_mm512_unpackhi_ps(v[2], v[3]));
  columns[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab0, cd0));
  columns[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab0, cd0));
  columns[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab1, cd1));
  columns[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab1, cd1));
}

// 8 columns of 16 rows that follow each other: two rows a load.
HWY_INLINE void load_packed_rows(const float* rows, VF* HWY_RESTRICT columns) {
  __m512 v[8], half[8];
  for (int i = 0; i < 8; ++i) v[i] = _mm512_loadu_ps(rows + i * 16);
  interleave_four(v, half);
  interleave_four(v + 4, half + 4);
  const __m512i low = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 16, 24, 17, 25, 18, 26, 19, 27);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(4));
  for (int c = 0; c < 4; ++c) {
    columns[c] = VF{_mm512_permutex2var_ps(half[c], low, half[c + 4])};
    columns[c + 4] = VF{_mm512_permutex2var_ps(half[c], high, half[c + 4])};
  }
}

// 8 columns from 256 bits of each of 16 rows: loads and merges are half of what 128 bits take.
HWY_INLINE void load_eight_columns(const float* rows, int64_t row_stride, VF* HWY_RESTRICT columns) {
  __m512 half[8];  // column c and column c + 4 of rows 0 .. 7 in turns of four rows; then those of rows 8 .. 15
  for (int r = 0; r < 16; r += 8) {
    __m512 v[4];
    for (int i = 0; i < 4; ++i) {
      const float* const row = rows + (r + i) * row_stride;
      v[i] = _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(_mm256_loadu_ps(row))),
                                                 _mm256_castps_pd(_mm256_loadu_ps(row + 4 * row_stride)), 1));
    }
    interleave_four(v, half + r / 2);
  }
  for (int c = 0; c < 4; ++c) {
    columns[c] = VF{_mm512_shuffle_f32x4(half[c], half[c + 4], 0x88)};
    columns[c + 4] = VF{_mm512_shuffle_f32x4(half[c], half[c + 4], 0xDD)};
  }
}
#endif

// columns[c] lane b = rows[b * row_stride + c], for kLanes rows and `block` columns.
template <int block>
HWY_INLINE void load_transposed(const float* rows, int64_t row_stride, VF* HWY_RESTRICT columns) {
#if HWY_MAX_BYTES == 64
  if (block == 8 && row_stride == 8) return load_packed_rows(rows, columns);
  for (int c = 0; c < block; c += 8) load_eight_columns(rows + c, row_stride, columns + c);
#else
  const DF df;
  const hn::RepartitionToWide<DF> dd;
  for (int c = 0; c < block; c += 4) {
    const VF a = load_quads(rows + c, row_stride);
    const VF b = load_quads(rows + row_stride + c, row_stride);
    const VF x = load_quads(rows + 2 * row_stride + c, row_stride);
    const VF y = load_quads(rows + 3 * row_stride + c, row_stride);
    const auto ab0 = hn::BitCast(dd, hn::InterleaveLower(df, a, b));
    const auto ab1 = hn::BitCast(dd, hn::InterleaveUpper(df, a, b));
    const auto xy0 = hn::BitCast(dd, hn::InterleaveLower(df, x, y));
    const auto xy1 = hn::BitCast(dd, hn::InterleaveUpper(df, x, y));
    columns[c + 0] = hn::BitCast(df, hn::InterleaveLower(dd, ab0, xy0));
    columns[c + 1] = hn::BitCast(df, hn::InterleaveUpper(dd, ab0, xy0));
    columns[c + 2] = hn::BitCast(df, hn::InterleaveLower(dd, ab1, xy1));
    columns[c + 3] = hn::BitCast(df, hn::InterleaveUpper(dd, ab1, xy1));
  }
#endif
}

// columns[c] lane b = |element c of block b| for kLanes blocks. Half types are transposed in pairs, which takes half the shuffles.
template <class Loader, int block>
HWY_INLINE void load_magnitudes(const char* data, VF* HWY_RESTRICT columns) {
  const DF df;
  const DU du;
  const float* words = reinterpret_cast<const float*>(data);  // only moved, never computed with
  if constexpr (Loader::kBytes == 4) {
    load_transposed<block>(words, block, columns);
    for (int c = 0; c < block; ++c) columns[c] = hn::Abs(columns[c]);
#if HWY_MAX_BYTES == 32
  } else if constexpr (std::is_same_v<Loader, LoadF16>) {  // rows are converted by one instruction, subnormal numbers as fast as others
    HWY_ALIGN float rows[kLanes * block];
    for (int i = 0; i < kLanes * block; i += kLanes) hn::Store(hn::Abs(LoadF16::load(data + i * LoadF16::kBytes)), df, rows + i);
    load_transposed<block>(rows, block, columns);
#endif
  } else {
    VF pairs[block / 2];
    load_transposed<block / 2>(words, block / 2, pairs);
    for (int c = 0; c < block / 2; ++c) {
      const VU pair = hn::BitCast(du, pairs[c]);
      if constexpr (std::is_same_v<Loader, LoadBf16>) {
        columns[2 * c] = hn::BitCast(df, hn::ShiftLeft<16>(hn::And(pair, hn::Set(du, 0x7FFFu))));
        columns[2 * c + 1] = hn::BitCast(df, hn::And(pair, hn::Set(du, 0x7FFF0000u)));
      } else {
        columns[2 * c] = Loader::magnitude(pair);
        columns[2 * c + 1] = Loader::magnitude(hn::ShiftRight<16>(pair));
      }
    }
  }
}

// num::e4m3_magnitude of codes 0 .. 126.
HWY_INLINE VF values_of(VI code) {
  const DF df;
  const DI di;
  const VF normal = hn::BitCast(df, hn::Add(hn::ShiftLeft<20>(code), hn::Set(di, 120 << 23)));
  const VF linear = hn::Mul(hn::ConvertTo(df, code), hn::Set(df, 0x1p-9f));
  return hn::IfThenElse(hn::RebindMask(df, hn::Lt(code, hn::Set(di, 8))), linear, normal);
}

// num::e4m3_floor_code: the largest code with value <= v, at least 1, at most 126.
HWY_INLINE VI floor_code(VF v) {
  const DF df;
  const DI di;
  const VF capped = hn::Min(v, hn::Set(df, num::kE4m3Max));
  const VI normal = hn::Sub(hn::ShiftRight<20>(hn::BitCast(di, capped)), hn::Set(di, 960));
  const VI linear = hn::ConvertTo(di, hn::Mul(capped, hn::Set(df, 512.0f)));
  return hn::Max(hn::IfThenElse(hn::RebindMask(di, hn::Lt(capped, hn::Set(df, 0x1p-6f))), linear, normal), hn::Set(di, 1));
}

// ---- rounding ----------------------------------------------------------------------------------------------------------

// x / scale by two fused steps from the product with reciprocal = RN(1 / scale), where no number under- or overflows: it rounds to the level of the correctly
// rounded quotient (docs/numerics.md 9).
HWY_INLINE VF refined_quotient(VF x, VF scale, VF reciprocal) {
  const VF near = hn::Mul(x, reciprocal);
  return hn::MulAdd(hn::NegMulAdd(near, scale, x), reciprocal, near);
}

// num::e2m1_round: nearest level of y >= 0, ties to even, saturating.
HWY_INLINE VF round_e2m1(VF y) {
  const DF df;
  const DU du;
  y = hn::Min(y, hn::Set(df, 6.0f));
  const VF power = hn::BitCast(df, hn::And(hn::BitCast(du, hn::Max(y, hn::Set(df, 1.0f))), hn::Set(du, num::kInfBits)));
  const VF magic = hn::Mul(power, hn::Set(df, 0x1p22f));
  return hn::Sub(hn::Add(y, magic), magic);
}

// A level near x / s, from 1 / s: the nearest one unless the quotient is within 2^-22 (relative) of a boundary.
#if HWY_MAX_BYTES == 64
struct LevelFilter {
  __m512 table0, table1, reciprocal4;

  HWY_INLINE LevelFilter()
      : table0(_mm512_setr_ps(0, .5f, .5f, 1, 1, 1.5f, 1.5f, 2, 2, 2, 3, 3, 3, 3, 4, 4)),
        table1(_mm512_setr_ps(4, 4, 4, 4, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6)),
        reciprocal4(_mm512_setzero_ps()) {}
  HWY_INLINE void set(VF reciprocal) { reciprocal4 = _mm512_mul_ps(reciprocal.raw, _mm512_set1_ps(4.0f)); }
  HWY_INLINE VF operator()(VF x) const {
    // floor(4 x / s) in the low bits: 32 steps of a quarter, whose level a table has
    const __m512 magic = _mm512_set1_ps(0x1p23f);
    const __m512i floor4 = _mm512_castps_si512(_mm512_fmadd_round_ps(x.raw, reciprocal4, magic, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
    const __m512i index = _mm512_min_epu32(floor4, _mm512_castps_si512(_mm512_set1_ps(0x1p23f + 31.0f)));
    return VF{_mm512_permutex2var_ps(table0, index, table1)};
  }
};
#else
struct LevelFilter {
  VF reciprocal_;

  HWY_INLINE void set(VF reciprocal) { reciprocal_ = reciprocal; }
  HWY_INLINE VF operator()(VF x) const { return round_e2m1(hn::Mul(x, reciprocal_)); }
};
#endif

// table[index] for 8 floats.
HWY_INLINE VF lookup8(const float* HWY_RESTRICT table, VI index) {
#if HWY_MAX_BYTES == 64
  const __m512 t = _mm512_castps256_ps512(_mm256_loadu_ps(table));
  return VF{_mm512_permutexvar_ps(index.raw, t)};
#elif HWY_MAX_BYTES == 32
  return hn::TableLookupLanes(hn::LoadU(DF(), table), hn::IndicesFromVec(DF(), index));
#else
  return hn::GatherIndex(DF(), table, index);
#endif
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
