// Maxima, packing, decoding and error sums on SIMD lanes: elements lie along the lanes as they do in memory.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/convert_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/simd-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

HWY_INLINE VU magnitude_bits(VF x) { return hn::And(hn::BitCast(DU(), x), hn::Set(DU(), num::kAbsMask)); }

HWY_INLINE uint32_t largest_lane(VU v) { return hn::GetLane(hn::MaxOfLanes(DU(), v)); }

template <class Loader>
uint32_t max_bits_of(const char* data, int64_t n) {
  const DU du;
  constexpr int64_t kStep = 4 * kLanes;
  VU largest[4] = {hn::Zero(du), hn::Zero(du), hn::Zero(du), hn::Zero(du)};
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    for (int k = 0; k < 4; ++k) {
      largest[k] = hn::Max(largest[k], magnitude_bits(Loader::load(data + (i + k * kLanes) * Loader::kBytes)));
    }
  }
  for (; i + kLanes <= n; i += kLanes) largest[0] = hn::Max(largest[0], magnitude_bits(Loader::load(data + i * Loader::kBytes)));
  uint32_t result = largest_lane(hn::Max(hn::Max(largest[0], largest[1]), hn::Max(largest[2], largest[3])));
  if (i < n) {
    char tail[kLanes * Loader::kBytes] = {};
    memcpy(tail, data + i * Loader::kBytes, static_cast<size_t>((n - i) * Loader::kBytes));
    const uint32_t rest = largest_lane(magnitude_bits(Loader::load(tail)));
    result = rest > result ? rest : result;
  }
  return result;
}

uint32_t max_bits(Span x, int64_t n) {
  return with_loader(x.dtype, [&](auto loader) { return max_bits_of<decltype(loader)>(static_cast<const char*>(x.data), n); });
}

void block_max_bits(Span x, int block, int64_t blocks, uint32_t* HWY_RESTRICT out) {
  with_loader(x.dtype, [&](auto loader) {
    using Loader = decltype(loader);
    const char* data = static_cast<const char*>(x.data);
    for (int64_t b = 0; b < blocks; ++b) {
      VU largest = hn::Zero(DU());
      for (int i = 0; i < block; i += kLanes) {
        largest = hn::Max(largest, magnitude_bits(Loader::load(data + (b * block + i) * Loader::kBytes)));
      }
      out[b] = largest_lane(largest);
    }
    return 0;
  });
}

// Codes 0..15 of x / scale in 32-bit lanes.
HWY_INLINE VU element_codes(VF x, VF scale) {
  const DF df;
  const DU du;
  const DI di;
  const VF y = hn::Div(x, scale);  // its sign counts: a quotient that underflows to -0 is code 0
  const VF q = round_e2m1(hn::Abs(y));
  // bits of .5 1 1.5 2 3 4 6 >> 22, less 252: 0 2 3 4 5 6 7; zero comes out negative.
  // A zero element is level 0 whatever its quotient (0 / 0 where the scale underflowed).
  const VI step = hn::Sub(hn::BitCast(di, hn::ShiftRight<22>(hn::BitCast(du, q))), hn::Set(di, 252));
  const VI level =
      hn::IfThenElseZero(hn::RebindMask(di, hn::And(hn::Gt(q, hn::Zero(df)), hn::Ne(x, hn::Zero(df)))), hn::Max(step, hn::Set(di, 1)));
  const VI sign = hn::IfThenElseZero(hn::RebindMask(di, hn::Lt(y, hn::Zero(df))), hn::Set(di, 8));
  return hn::BitCast(du, hn::Or(level, sign));
}

template <class Loader>
void pack_blocks(const char* data, int block, int64_t blocks, const uint8_t* HWY_RESTRICT codes, float global_scale,
                 uint8_t* HWY_RESTRICT packed) {
  const DF df;
  const hn::Repartition<uint64_t, DU> du64;
  const hn::Rebind<uint8_t, decltype(du64)> d8;
  for (int64_t b = 0; b < blocks; ++b) {
    const VF scale = hn::Set(df, num::stored_scale(num::e4m3_magnitude(codes[b]), global_scale));
    for (int i = 0; i < block; i += kLanes) {
      const VU pair = element_codes(Loader::load(data + (b * block + i) * Loader::kBytes), scale);
      const auto wide = hn::BitCast(du64, pair);  // even element in the low half, odd in the high half
      const auto bytes = hn::And(hn::Or(wide, hn::ShiftRight<28>(wide)), hn::Set(du64, 0xFF));
      hn::StoreU(hn::TruncateTo(d8, bytes), d8, packed + (b * block + i) / 2);
    }
  }
}

void pack(Span x, int block, int64_t blocks, const uint8_t* codes, float global_scale, uint8_t* packed) {
  with_loader(x.dtype, [&](auto loader) {
    pack_blocks<decltype(loader)>(static_cast<const char*>(x.data), block, blocks, codes, global_scale, packed);
    return 0;
  });
}

// E2M1 levels of codes 0..15 in 32-bit lanes: codes 2..7 are the leading bits of their float32 values, less 252.
HWY_INLINE VF element_values(VU code) {
  const DF df;
  const DU du;
  const VU magnitude = hn::And(code, hn::Set(du, 7));
  const VF normal = hn::BitCast(df, hn::ShiftLeft<22>(hn::Add(magnitude, hn::Set(du, 252))));  // 2 -> 1, 3 -> 1.5, 4 -> 2, ...
  const VF half = hn::IfThenElseZero(hn::RebindMask(df, hn::Eq(magnitude, hn::Set(du, 1))), hn::Set(df, 0.5f));
  const VF value = hn::IfThenElse(hn::RebindMask(df, hn::Gt(magnitude, hn::Set(du, 1))), normal, half);
  const VU sign = hn::ShiftLeft<28>(hn::And(code, hn::Set(du, 8)));
  return hn::BitCast(df, hn::Or(hn::BitCast(du, value), sign));
}

void decode(const uint8_t* HWY_RESTRICT packed, int block, int64_t blocks, const float* HWY_RESTRICT scales, float* HWY_RESTRICT out) {
  const DF df;
  const DU du;
  const hn::Repartition<uint64_t, DU> du64;
  const hn::Rebind<uint32_t, decltype(du64)> d32;
  const hn::Rebind<uint8_t, decltype(du64)> d8;
  for (int64_t b = 0; b < blocks; ++b) {
    const VF scale = hn::Set(df, scales[b]);
    for (int i = 0; i < block; i += kLanes) {
      const int64_t element = b * block + i;
      const auto byte = hn::PromoteTo(du64, hn::PromoteTo(d32, hn::LoadU(d8, packed + element / 2)));
      const auto pair = hn::And(hn::Or(byte, hn::ShiftLeft<28>(byte)), hn::Set(du64, 0x0000000F0000000Full));
      hn::StoreU(hn::Mul(element_values(hn::BitCast(du, pair)), scale), df, out + element);
    }
  }
}

template <class Loader>
void squared_error_of(const char* data, const float* HWY_RESTRICT decoded, int64_t n, double* HWY_RESTRICT sums) {
  const DF df;
  const hn::Repartition<double, DF> dd;
  const hn::Rebind<float, decltype(dd)> half;
  constexpr int kHalf = kLanes / 2;
  HWY_ALIGN float values[16];
  for (int part = 0; part < 16; part += kHalf) {  // kHalf of the 16 columns at a time: their sums stay in two registers
    auto error = hn::LoadU(dd, sums + part), energy = hn::LoadU(dd, sums + 16 + part);
    for (int64_t i = 0; i < n; i += 16) {
      const int whole = part / kLanes * kLanes;
      hn::Store(Loader::load(data + (i + whole) * Loader::kBytes), df, values + whole);
      const auto value = hn::PromoteTo(dd, hn::Load(half, values + part));
      const auto r = hn::Sub(value, hn::PromoteTo(dd, hn::LoadU(half, decoded + i + part)));
      error = hn::Add(error, hn::Mul(r, r));
      energy = hn::Add(energy, hn::Mul(value, value));
    }
    hn::StoreU(error, dd, sums + part);
    hn::StoreU(energy, dd, sums + 16 + part);
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
  kernels.block_max_bits = block_max_bits;
  kernels.pack = pack;
  kernels.decode = decode;
  kernels.squared_error = squared_error;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
