// Rows of weights for the integer filter: their roots in sixteen bits, in the order of a group's elements. Included once per target.
#if defined(NVFP4CAL_CPU_INTEGER_ROOTS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_INTEGER_ROOTS_INL_H
#undef NVFP4CAL_CPU_INTEGER_ROOTS_INL_H
#else
#define NVFP4CAL_CPU_INTEGER_ROOTS_INL_H
#endif

#include "cpu/integer_filter-inl.h"
#include "cpu/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_INTEGER_SIMD

// Of kLanes blocks of 16.
struct RootGroup {
  HWY_ALIGN uint32_t roots[8 * kLanes];
  HWY_ALIGN float norm[kLanes];  // a fourth of a block's Euclidean norm, or a little more: 1 where all roots are the largest number
};

struct RootWeights {
  static constexpr bool kWeighted = true;
  static constexpr float kRounding = 2.7f;  // products are rounded (half a step each, 2 over a block), roots too
  const RootGroup* of;

  HWY_INLINE VU operator()(VU e, int j) const { return times_roots(e, hn::Load(DU(), of->roots + j * kLanes)); }
  // What is off in a quotient counts with its root.
  HWY_INLINE VF delta(VF delta) const { return hn::MulAdd(delta, hn::Load(DF(), of->norm), hn::Set(DF(), kRounding)); }
};

// rows hold roots in the order of elements.
HWY_INLINE void load_roots(const int16_t* rows, bool neighbours, RootGroup& group) {
  const DU du;
  const DF df;
  VF pairs[8];
  load_transposed<8>(reinterpret_cast<const float*>(rows), 8, pairs);
  VU roots[8];
  for (int j = 0; j < 4; ++j) {
    const VU a = hn::BitCast(du, pairs[j]), b = hn::BitCast(du, pairs[j + 4]);
    roots[2 * j] = neighbours ? hn::BitCast(du, pairs[2 * j]) : join_halves(a, b);
    roots[2 * j + 1] = neighbours ? hn::BitCast(du, pairs[2 * j + 1]) : join_halves(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b));
  }
  // fourths, rounded up, so that sixteen squares fit into 31 bits
  const VU three = hn::Set(du, 0x00030003u), halves = hn::Set(du, 0x3FFF3FFFu);
  VI sum = hn::Zero(DI());
  for (int j = 0; j < 8; ++j) {
    hn::Store(roots[j], du, group.roots + j * kLanes);
    sum = add_squares(sum, hn::And(hn::ShiftRight<2>(hn::Add(roots[j], three)), halves));
  }
  hn::Store(hn::Mul(root_above(hn::ConvertTo(df, sum)), hn::Set(df, 1.0f / 32767.0f)), df, group.norm);
}

// Weights, or their roots, of the blocks of the low sixteen bits of `entries`.
template <class T>
HWY_INLINE void gather_rows(const T* rows, const BlockWeights& weights, VU entries, T* HWY_RESTRICT to) {
  HWY_ALIGN uint32_t numbers[kLanes];
  hn::Store(entries, DU(), numbers);
  for (int64_t i = 0; i < kLanes; ++i) {
    memcpy(to + i * 16, rows + (weights.first + (numbers[i] & 0xFFFF)) % weights.period * 16, 16 * sizeof(T));
  }
}

HWY_INLINE void gather_roots(const BlockWeights& weights, VU entries, bool neighbours, RootGroup& group) {
  HWY_ALIGN int16_t rows[kLanes * 16];
  gather_rows(weights.roots, weights, entries, rows);
  load_roots(rows, neighbours, group);
}

// The roots of a row of weights, transposed once for all rows of elements where groups always begin at the same weights.
class RootGroups {
 public:
  // NULL: no such groups, or too few rows to pay.
  const RootGroup* make(const BlockWeights& weights, int64_t blocks, bool neighbours) {
    if (weights.period > kMostBlocks || weights.period % kLanes != 0 || weights.first % kLanes != 0 || blocks < 2 * weights.period)
      return nullptr;
    for (int64_t row = 0; row < weights.period; row += kLanes) load_roots(weights.roots + row * 16, neighbours, groups_[row / kLanes]);
    return groups_;
  }

 private:
  static constexpr int64_t kMostBlocks = 1024;  // 36 KiB
  RootGroup groups_[kMostBlocks / kLanes];
};

#endif  // NVFP4CAL_INTEGER_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
