// What is one number a block, on SIMD lanes, one block a lane: maxima, the codes that maxima make, scales of codes.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/block_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/simd-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// ---- maxima ------------------------------------------------------------------------------------------------------------

// Lane i = the largest lane of rows[i], kLanes rows: pairs of rows are interleaved and their maxima taken, so that each step halves the
// vectors.
HWY_INLINE VU largest_lanes(const VU* HWY_RESTRICT rows) {
  const DU du;
  const hn::Repartition<uint64_t, DU> du64;
  VU fours[kLanes / 4];  // of four rows: every 128 bits have a part of each
  for (int i = 0; i < kLanes / 4; ++i) {
    const VU* four = rows + 4 * i;
    const VU ab = hn::Max(hn::InterleaveLower(du, four[0], four[1]), hn::InterleaveUpper(du, four[0], four[1]));
    const VU cd = hn::Max(hn::InterleaveLower(du, four[2], four[3]), hn::InterleaveUpper(du, four[2], four[3]));
    const auto ab64 = hn::BitCast(du64, ab), cd64 = hn::BitCast(du64, cd);
    fours[i] = hn::Max(hn::BitCast(du, hn::InterleaveLower(du64, ab64, cd64)), hn::BitCast(du, hn::InterleaveUpper(du64, ab64, cd64)));
  }
#if HWY_MAX_BYTES == 64
  const auto join = [](VU a, VU b) HWY_ATTR {
    return VU{_mm512_max_epu32(_mm512_shuffle_i32x4(a.raw, b.raw, 0x88), _mm512_shuffle_i32x4(a.raw, b.raw, 0xDD))};
  };
  return join(join(fours[0], fours[1]), join(fours[2], fours[3]));
#elif HWY_MAX_BYTES == 32
  return hn::Max(hn::ConcatLowerLower(du, fours[1], fours[0]), hn::ConcatUpperUpper(du, fours[1], fours[0]));
#else
  return fours[0];
#endif
}

#if HWY_MAX_BYTES == 64
// Lane r: the largest of the sixteen 16-bit numbers of row r; rows 2 j and 2 j + 1 are pairs[j]. Each step halves what is left of a row, and puts
// two rows side by side.
HWY_INLINE VU largest_halves(const __m512i* pairs) {
  __m512i fours[4], eights[2];
  for (int j = 0; j < 4; ++j) {
    const __m512i a = pairs[2 * j], b = pairs[2 * j + 1];
    fours[j] = _mm512_max_epu16(_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b));
  }
  for (int j = 0; j < 2; ++j) {
    const __m512i a = fours[2 * j], b = fours[2 * j + 1];
    eights[j] = _mm512_max_epu16(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  }
  __m512i all = _mm512_max_epu16(_mm512_unpacklo_epi64(eights[0], eights[1]), _mm512_unpackhi_epi64(eights[0], eights[1]));
  all = _mm512_max_epu16(all, _mm512_shuffle_i64x2(all, all, 0xB1));  // a row's two halves
  // word j: row 2 j; word 16 + j: row 2 j + 1
  const __m512i order = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  return VU{_mm512_maskz_permutexvar_epi16(0x55555555u, order, all)};
}

// The magnitudes of rows 2 j and 2 j + 1; those of a block of 32 lie on each other.
template <int block>
HWY_INLINE __m512i row_pair(const char* data, int j) {
  const __m512i absolute = _mm512_set1_epi16(0x7FFF);
  if constexpr (block == 16) return _mm512_and_si512(_mm512_loadu_si512(data + 64 * j), absolute);
  const __m512i a = _mm512_and_si512(_mm512_loadu_si512(data + 128 * j), absolute);
  const __m512i b = _mm512_and_si512(_mm512_loadu_si512(data + 128 * j + 64), absolute);
  return _mm512_max_epu16(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xEE));
}
#endif

// The largest magnitudes of kLanes blocks of a half type, as that type's numbers.
template <int block>
HWY_INLINE VU numbers_of(const char* data) {
#if HWY_MAX_BYTES == 64
  __m512i pairs[8];
  for (int j = 0; j < 8; ++j) pairs[j] = row_pair<block>(data, j);
  return largest_halves(pairs);
#else
  const DU du;
  const hn::Repartition<uint16_t, DU> du16;
  VF pairs[block / 2];
  load_transposed<block / 2>(reinterpret_cast<const float*>(data), block / 2, pairs);  // only moved, never computed with
  auto largest = hn::Zero(du16);
  for (int j = 0; j < block / 2; ++j) largest = hn::Max(largest, hn::And(hn::BitCast(du16, pairs[j]), hn::Set(du16, uint16_t{0x7FFF})));
  const VU both = hn::BitCast(du, largest);
  return hn::Max(hn::And(both, hn::Set(du, 0xFFFFu)), hn::ShiftRight<16>(both));
#endif
}

// Bits of the maxima of kLanes blocks of float32; at least num::kInfBits where an element is not finite.
template <int block>
HWY_INLINE VU bits_of(const char* data) {
  const DU du;
  VU rows[kLanes];
  for (int b = 0; b < kLanes; ++b) {
    VU largest = hn::Zero(du);
    for (int i = 0; i < block; i += kLanes) {
      largest = hn::Max(largest, hn::BitCast(du, hn::Abs(LoadF32::load(data + (b * block + i) * LoadF32::kBytes))));
    }
    rows[b] = largest;
  }
  return largest_lanes(rows);
}

// visit(first block, their elements) for groups of kLanes blocks; the blocks that do not fill one stand in a group with zeros.
template <int64_t bytes, class Visit>
HWY_INLINE void for_each_group(const char* data, int64_t blocks, Visit&& visit) {
  int64_t b = 0;
  for (; b + kLanes <= blocks; b += kLanes) visit(b, data + b * bytes);
  if (b == blocks) return;
  HWY_ALIGN char rows[kLanes * bytes] = {};
  memcpy(rows, data + b * bytes, static_cast<size_t>((blocks - b) * bytes));
  visit(b, rows);
}

// The first lanes that are still inside.
template <class D, class V, class T>
HWY_INLINE void store_first(V values, D d, T* HWY_RESTRICT to, int64_t count) {
  if (count >= kLanes) return hn::StoreU(values, d, to);
  HWY_ALIGN T lanes[kLanes];
  hn::Store(values, d, lanes);
  memcpy(to, lanes, static_cast<size_t>(count) * sizeof(T));
}

template <int block>
void max_bits_of(const char* data, int64_t blocks, uint32_t* HWY_RESTRICT out) {
  for_each_group<block * 4>(data, blocks,
                            [&](int64_t b, const char* rows) HWY_ATTR { store_first(bits_of<block>(rows), DU(), out + b, blocks - b); });
}

template <int block>
void max_numbers_of(const char* data, int64_t blocks, uint16_t* HWY_RESTRICT out) {
  const hn::Rebind<uint16_t, DI> d16;
  for_each_group<block * 2>(data, blocks, [&](int64_t b, const char* rows) HWY_ATTR {
    store_first(hn::DemoteTo(d16, hn::BitCast(DI(), numbers_of<block>(rows))), d16, out + b, blocks - b);
  });
}

void block_max_numbers(Span x, int block, int64_t blocks, uint16_t* HWY_RESTRICT out) {
  (block == 32 ? max_numbers_of<32> : max_numbers_of<16>)(static_cast<const char*>(x.data), blocks, out);
}

void block_max_bits(Span x, int block, int64_t blocks, uint32_t* HWY_RESTRICT out) {
  const DU du;
  if (x.dtype == Dtype::kF32) return (block == 32 ? max_bits_of<32> : max_bits_of<16>)(static_cast<const char*>(x.data), blocks, out);
  constexpr int64_t kTile = 256;
  HWY_ALIGN uint16_t numbers[kTile];
  for (int64_t first = 0; first < blocks; first += kTile) {
    const int64_t count = HWY_MIN(kTile, blocks - first);
    block_max_numbers(x.at(first * block), block, count, numbers);
    for (int64_t b = 0; b < count; b += kLanes) {
      const VU number = hn::PromoteTo(du, hn::Load(hn::Rebind<uint16_t, DU>(), numbers + b));
      const VU bits = x.dtype == Dtype::kBf16 ? hn::ShiftLeft<16>(number) : hn::BitCast(du, LoadF16::magnitude(number));
      store_first(bits, du, out + first + b, count - b);
    }
  }
}

// ---- the codes of maxima -----------------------------------------------------------------------------------------------

// num::max_code of every lane.
HWY_INLINE VI max_code(VF m, VF six_global_scales) {
  const DF df;
  const DI di;
  const VF b = hn::Div(m, six_global_scales);
  const VF y = hn::Min(hn::Max(b, hn::Set(df, num::kE4m3Min)), hn::Set(df, num::kE4m3Max));
  const VI bits = hn::BitCast(di, y);
  const VI odd = hn::And(hn::ShiftRight<20>(bits), hn::Set(di, 1));
  const VI normal = hn::Sub(hn::ShiftRight<20>(hn::Add(hn::Add(bits, hn::Set(di, 0x7FFFF)), odd)), hn::Set(di, 960));
  // below 2^-6 codes are multiples of 2^-9, the last bit of 2^14
  const VI linear = hn::And(hn::BitCast(di, hn::Add(y, hn::Set(df, 0x1p14f))), hn::Set(di, 15));
  const VI code = hn::IfThenElse(hn::RebindMask(di, hn::Lt(y, hn::Set(df, 0x1p-6f))), linear, normal);
  return hn::IfThenElse(hn::RebindMask(di, hn::Eq(b, hn::Zero(df))), hn::Set(di, num::kE4m3One), code);
}

void max_codes(const SweepPlan& plan, Span x, int64_t blocks, uint8_t* HWY_RESTRICT codes) {
  const DF df;
  const hn::Rebind<uint8_t, DI> d8;
  const VF prescale = hn::Set(df, plan.prescale), prescale2 = hn::Set(df, plan.prescale2);
  const VF divisor = hn::Set(df, 6.0f * plan.global_scale);
  constexpr int64_t kTile = 256;
  HWY_ALIGN uint32_t maxima[kTile];
  for (int64_t first = 0; first < blocks; first += kTile) {
    const int64_t count = HWY_MIN(kTile, blocks - first);
    block_max_bits(x.at(first * plan.block), plan.block, count, maxima);
    for (int64_t b = 0; b < count; b += kLanes) {
      const VF m = hn::Mul(hn::Mul(hn::BitCast(df, hn::Load(DU(), maxima + b)), prescale), prescale2);
      store_first(hn::DemoteTo(d8, max_code(m, divisor)), d8, codes + first + b, count - b);
    }
  }
}

// ---- scales ------------------------------------------------------------------------------------------------------------

void block_scales(const uint8_t* HWY_RESTRICT codes, int64_t blocks, DecodeOrder order, float global_scale, float* HWY_RESTRICT out) {
  const DF df;
  const DU du;
  const DI di;
  const hn::Rebind<uint8_t, DI> d8;
  const VF global = hn::Set(df, global_scale);
  for (int64_t b = 0; b < blocks; b += kLanes) {
    HWY_ALIGN uint8_t rest[kLanes] = {};
    const uint8_t* from = codes + b;
    if (blocks - b < kLanes) {
      memcpy(rest, from, static_cast<size_t>(blocks - b));
      from = rest;
    }
    const VU code = hn::PromoteTo(du, hn::LoadU(d8, from));
    const VF magnitude = values_of(hn::BitCast(di, hn::And(code, hn::Set(du, 0x7Fu))));
    const VU sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(du, 0x80u)));
    const VF value = hn::BitCast(df, hn::Or(hn::BitCast(du, magnitude), sign));
    store_first(order == DecodeOrder::kModelopt ? hn::Mul(value, global) : hn::Div(value, global), df, out + b, blocks - b);
  }
}

#if HWY_MAX_BYTES == 64
void look_up(const uint8_t* HWY_RESTRICT codes, int64_t n, const float* HWY_RESTRICT values, void* out) {
  __m512 table[8];
  for (int i = 0; i < 8; ++i) table[i] = _mm512_load_ps(values + 16 * i);
  char* to = static_cast<char*>(out);
  for (int64_t i = 0; i < n; i += 16, to += 64) {
    const __mmask16 inside = n - i < 16 ? static_cast<__mmask16>((1u << (n - i)) - 1) : static_cast<__mmask16>(0xFFFF);
    const __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(inside, codes + i));
    const __mmask16 bit5 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(32)), bit6 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(64));
    __m512 quarters[4];
    for (int q = 0; q < 4; ++q) quarters[q] = _mm512_permutex2var_ps(table[2 * q], code, table[2 * q + 1]);
    const __m512 lower = _mm512_mask_mov_ps(quarters[0], bit5, quarters[1]), upper = _mm512_mask_mov_ps(quarters[2], bit5, quarters[3]);
    _mm512_mask_storeu_ps(to, inside, _mm512_mask_mov_ps(lower, bit6, upper));
  }
}
#endif

void fill_block_kernels(Kernels& kernels) {
#if HWY_MAX_BYTES == 64
  kernels.look_up = look_up;
#endif
  kernels.block_max_bits = block_max_bits;
  kernels.block_max_numbers = block_max_numbers;
  kernels.max_codes = max_codes;
  kernels.block_scales = block_scales;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
