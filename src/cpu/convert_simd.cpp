// Maxima and decoding on SIMD lanes: elements lie along the lanes as they do in memory.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/convert_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/decode_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// The largest of n magnitudes, as unsigned numbers of their own width, in both of which a larger number has larger bits. Read at four places at a time:
// the processor reads ahead at each of them, and memory gives more.
template <class T>
T largest_magnitude(const char* data, int64_t n) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kPlaces = 4, kLanesOfT = HWY_MAX_BYTES / sizeof(T);
  constexpr T kMagnitude = static_cast<T>(~T{0}) >> 1;
  const auto load = [&](int64_t i) HWY_ATTR { return hn::And(hn::LoadU(d, reinterpret_cast<const T*>(data) + i), hn::Set(d, kMagnitude)); };
  hn::Vec<decltype(d)> largest[kPlaces] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  const int64_t part = n / (kPlaces * kLanesOfT) * kLanesOfT;
  for (int64_t j = 0; j < part; j += kLanesOfT) {
    for (int k = 0; k < kPlaces; ++k) largest[k] = hn::Max(largest[k], load(k * part + j));
  }
  int64_t i = kPlaces * part;
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

void decode(const uint8_t* packed, int block, int64_t blocks, const float* scales, const DecodedSpan& out) {
  char* to = static_cast<char*>(out.data);
#if HWY_MAX_BYTES == 64
  if (out.dtype == Dtype::kBf16) return decode_halves<RoundBf16>(packed, block, blocks, scales, to, out.streaming);
  if (out.dtype == Dtype::kF16) return decode_halves<RoundF16>(packed, block, blocks, scales, to, out.streaming);
#endif
  if (out.dtype == Dtype::kBf16) return decode_to<StoreBf16>(packed, block, blocks, scales, to, out.streaming);
  if (out.dtype == Dtype::kF16) return decode_to<StoreF16>(packed, block, blocks, scales, to, out.streaming);
  decode_to<StoreF32>(packed, block, blocks, scales, to, out.streaming);
}

void fill_convert_kernels(Kernels& kernels) {
  kernels.max_bits = max_bits;
  kernels.decode = decode;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
