// GPTQ's blocks on SIMD lanes: a lane is a row.
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/gptq_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/simd-inl.h"
#include "cpu/simd_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_REAL_SIMD

// The nearest level times the scale, less x.
struct LevelDistance {
  VF scale, reciprocal;

  HWY_INLINE explicit LevelDistance(VF scale_of_rows) : scale(scale_of_rows), reciprocal(hn::Div(hn::Set(DF(), 1.0f), scale_of_rows)) {}
  HWY_INLINE VF level(VF x) const {
    const VF y = hn::Mul(x, reciprocal);
    return hn::CopySignToAbs(round_e2m1(hn::Abs(y)), y);
  }
  HWY_INLINE VF operator()(VF level_of_x, VF x) const { return hn::MulSub(level_of_x, scale, x); }
};

// The columns of the lanes from `lane` on, in order, at one scale. errors: NULL, or written.
HWY_INLINE VF round_columns(const GptqRounding& block, int lane, VF scale, float* errors) {
  const DF df;
  const LevelDistance distance(scale);
  VF target[kGptqBlock];
  for (int i = 0; i < kGptqBlock; ++i) target[i] = hn::LoadU(df, block.targets + i * kTile + lane);
  VF loss = hn::Zero(df);
  for (int i = 0; i < kGptqBlock; ++i) {
    const VF level = distance.level(target[i]);
    const VF off = distance(level, target[i]);
    loss = hn::MulAdd(hn::Mul(off, off), hn::Set(df, block.pivots[i]), loss);
    const VF error = distance(level, hn::LoadU(df, block.weights + i * kTile + lane));
    if (errors) hn::StoreU(error, df, errors + i * kTile + lane);
    const float* const feedback = block.feedback + i * block.stride;
    for (int j = i + 1; j < kGptqBlock; ++j) target[j] = hn::NegMulAdd(error, hn::Set(df, feedback[j]), target[j]);
  }
  return loss;
}

void gptq_round(const GptqRounding& block) {
  const DF df;
  const DI di;
  const VF global = hn::Set(df, block.global_scale);
  for (int lane = 0; lane < kTile; lane += kLanes) {
    const VI around = hn::LoadU(di, block.around + lane);
    VF least = hn::Set(df, num::from_bits(num::kInfBits));
    VI best = hn::Set(di, 1);
    for (int step = block.lo; step <= block.hi; ++step) {
      const VI code = hn::Min(hn::Max(hn::Add(around, hn::Set(di, step)), hn::Set(di, 1)), hn::Set(di, num::kE4m3Count));
      const VF loss = round_columns(block, lane, hn::Mul(values_of(code), global), nullptr);
      const MF better = hn::Lt(loss, least);
      least = hn::IfThenElse(better, loss, least);
      best = hn::IfThenElse(hn::RebindMask(di, better), code, best);
    }
    round_columns(block, lane, hn::Mul(values_of(best), global), block.errors);
    hn::StoreU(best, di, block.codes + lane);
  }
}

void gptq_descend(const GptqDescent& block) {
  const DF df;
  for (int lane = 0; lane < kTile; lane += kLanes) {
    const LevelDistance distance(hn::LoadU(df, block.scales + lane));
    VF gradient[kGptqBlock];
    for (int i = 0; i < kGptqBlock; ++i) gradient[i] = hn::LoadU(df, block.gradients + i * kTile + lane);
    for (int i = 0; i < kGptqBlock; ++i) {
      const VF weight = hn::LoadU(df, block.weights + i * kTile + lane);
      const VF old = hn::LoadU(df, block.errors + i * kTile + lane);
      const VF wanted = hn::NegMulAdd(gradient[i], hn::Set(df, block.reciprocals[i]), hn::Add(weight, old));
      const VF error = distance(distance.level(wanted), weight);
      const VF change = hn::Sub(error, old);
      hn::StoreU(error, df, block.errors + i * kTile + lane);
      hn::StoreU(change, df, block.changes + i * kTile + lane);
      const float* const row = block.hessian + i * block.stride;
      for (int j = i + 1; j < kGptqBlock; ++j) gradient[j] = hn::MulAdd(change, hn::Set(df, row[j]), gradient[j]);
    }
  }
}

void add_tile_rows(const float* HWY_RESTRICT b, const int32_t* HWY_RESTRICT ks, const float* HWY_RESTRICT values, int64_t n,
                   float* HWY_RESTRICT c) {
  const DF df;
  constexpr int kParts = 4;  // vectors at a time
  for (int j = 0; j < kTile; j += kParts * kLanes) {
    VF sums[kParts];
    for (int v = 0; v < kParts; ++v) sums[v] = hn::LoadU(df, c + j + v * kLanes);
    for (int64_t i = 0; i < n; ++i) {
      const VF value = hn::Set(df, values[i]);
      const float* const row = b + ks[i] * kTile + j;
      for (int v = 0; v < kParts; ++v) sums[v] = hn::MulAdd(value, hn::LoadU(df, row + v * kLanes), sums[v]);
    }
    for (int v = 0; v < kParts; ++v) hn::StoreU(sums[v], df, c + j + v * kLanes);
  }
}

void fill_gptq_kernels(Kernels& kernels) {
  kernels.gptq_round = gptq_round;
  kernels.gptq_descend = gptq_descend;
  kernels.add_tile_rows = add_tile_rows;
}

#endif  // NVFP4CAL_REAL_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
