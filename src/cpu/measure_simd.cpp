// Sums of the squared errors that nibbles leave, on SIMD lanes.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/measure_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/decode_lanes-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// Adds to kLanes neighbouring sums.
HWY_INLINE void add_wide(VF values, double* HWY_RESTRICT to) {
  const hn::Repartition<double, DF> dd;
  const hn::Half<DF> half;
  constexpr int kHalf = kLanes / 2;
  hn::StoreU(hn::Add(hn::LoadU(dd, to), hn::PromoteTo(dd, hn::LowerHalf(half, values))), dd, to);
  hn::StoreU(hn::Add(hn::LoadU(dd, to + kHalf), hn::PromoteTo(dd, hn::UpperHalf(half, values))), dd, to + kHalf);
}

struct ErrorLanes {
  VF error, energy;

  HWY_INLINE ErrorLanes() : error(hn::Zero(DF())), energy(hn::Zero(DF())) {}

  // x, times the factor, and what it decodes to.
  HWY_INLINE void add(VF x, VF decoded) {
    const VF residual = hn::Sub(x, decoded);
    error = hn::Add(error, hn::Mul(residual, residual));
    energy = hn::Add(energy, hn::Mul(x, x));
  }
  HWY_INLINE void add_to(double* HWY_RESTRICT sums) const {
    add_wide(error, sums);
    add_wide(energy, sums + kRow);
  }
};

// One group at most.
template <class Loader>
HWY_INLINE void add_group_errors(const MeasuredBlocks& of, const uint8_t* HWY_RESTRICT packed, double* HWY_RESTRICT sums) {
  const char* const data = static_cast<const char*>(of.x.data);
  const int64_t rows = of.blocks * of.block / kRow;
  const int shift = of.block / 32;  // of rows to blocks
  const VF factor = hn::Set(DF(), of.factor);
  for (int part = 0; part < kRow; part += kLanes) {
    const auto add_row = [&](ErrorLanes& lanes, int64_t r) HWY_ATTR {
      const int64_t i = r * kRow + part;
      const VF decoded = hn::Mul(element_values(packed + i / 2), hn::Set(DF(), of.scales[r >> shift]));
      lanes.add(hn::Mul(Loader::load(data + i * Loader::kBytes), factor), decoded);
    };
    ErrorLanes even, odd;
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2) {
      add_row(even, r);
      add_row(odd, r + 1);
    }
    if (r < rows) add_row(even, r);
    even.add_to(sums + part);
    odd.add_to(sums + part);
  }
}

#if HWY_MAX_BYTES == 64

// ---- AVX-512, bfloat16: the even elements of two rows in one vector, and the odd ones in another -------------------------------

// A whole group.
HWY_INLINE void add_pair_errors(const MeasuredBlocks& of, const uint8_t* HWY_RESTRICT packed, double* HWY_RESTRICT sums) {
  const char* const data = static_cast<const char*>(of.x.data);
  const int shift = of.block / 32;  // of rows to blocks
  const VF factor = hn::Set(DF(), of.factor);
  const __m512 levels = _mm512_setr_ps(0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -.5f, -1, -1.5f, -2, -3, -4, -6);
  ErrorLanes even, odd;
  for (int r = 0; r < kErrorRows; r += 2) {
    const __m512i codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + r * (kRow / 2))));
    const VF scale{_mm512_mask_broadcastss_ps(_mm512_set1_ps(of.scales[r >> shift]), 0xFF00, _mm_load_ss(of.scales + ((r + 1) >> shift)))};
    const __m512i x = _mm512_loadu_si512(data + r * kRow * LoadBf16::kBytes);
    const VF even_x{_mm512_castsi512_ps(_mm512_slli_epi32(x, 16))};
    const VF odd_x{_mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))))};
    even.add(hn::Mul(even_x, factor), hn::Mul(VF{_mm512_permutexvar_ps(codes, levels)}, scale));  // by the last four bits
    odd.add(hn::Mul(odd_x, factor), hn::Mul(VF{_mm512_permutexvar_ps(_mm512_srli_epi32(codes, 4), levels)}, scale));
  }
  for (const int first : {0, 8}) {  // even rows, odd rows
    const __m512i order =
        _mm512_add_epi32(_mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), _mm512_set1_epi32(first));
    add_wide(VF{_mm512_permutex2var_ps(even.error.raw, order, odd.error.raw)}, sums);
    add_wide(VF{_mm512_permutex2var_ps(even.energy.raw, order, odd.energy.raw)}, sums + kRow);
  }
}

#endif

template <class Loader>
void add_errors(const MeasuredBlocks& of, const uint8_t* packed, double* sums) {
  const int64_t blocks_per_group = kErrorRows * kRow / of.block;
  for (int64_t b = 0; b < of.blocks; b += blocks_per_group) {
    const MeasuredBlocks group{of.x.at(b * of.block), of.block, HWY_MIN(blocks_per_group, of.blocks - b), of.scales + b, of.factor};
    const uint8_t* const of_group = packed + b * of.block / 2;
#if HWY_MAX_BYTES == 64
    if (std::is_same_v<Loader, LoadBf16> && group.blocks == blocks_per_group) {
      add_pair_errors(group, of_group, sums);
      continue;
    }
#endif
    add_group_errors<Loader>(group, of_group, sums);
  }
}

void squared_error(const MeasuredBlocks& of, const uint8_t* packed, double* sums) {
  with_loader(of.x.dtype, [&](auto loader) {
    add_errors<decltype(loader)>(of, packed, sums);
    return 0;
  });
}

void fill_measure_kernels(Kernels& kernels) { kernels.squared_error = squared_error; }

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
