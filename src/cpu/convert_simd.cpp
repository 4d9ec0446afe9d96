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

void decode(const uint8_t* packed, int block, int64_t blocks, const float* scales, Dtype dtype, void* out) {
  char* to = static_cast<char*>(out);
  if (dtype == Dtype::kBf16) return decode_to<StoreBf16>(packed, block, blocks, scales, to);
  if (dtype == Dtype::kF16) return decode_to<StoreF16>(packed, block, blocks, scales, to);
  decode_to<StoreF32>(packed, block, blocks, scales, to);
}

// ---- errors ------------------------------------------------------------------------------------------------------------

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
  kernels.decode = decode;
  kernels.squared_error = squared_error;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
