// The reference of GPTQ's blocks: plain loops over the rows.
#include <algorithm>
#include <cmath>

#include "cpu/kernels.h"
#include "num/e2m1.h"
#include "num/scale.h"

namespace nvfp4cal::cpu {

namespace {

float level_of(float x, float reciprocal) {
  const float y = x * reciprocal;
  return std::copysign(num::e2m1_round(num::abs_of(y)), y);
}

// One row's columns at one scale; errors: NULL, or written.
float round_columns(const GptqRounding& block, int64_t row, float scale, float* errors) {
  const float reciprocal = 1.0f / scale;
  float target[kGptqBlock], loss = 0.0f;
  for (int i = 0; i < kGptqBlock; ++i) target[i] = block.targets[i * kTile + row];
  for (int i = 0; i < kGptqBlock; ++i) {
    const float level = level_of(target[i], reciprocal);
    const float off = std::fma(level, scale, -target[i]);
    loss = std::fma(off * off, block.pivots[i], loss);
    const float error = std::fma(level, scale, -block.weights[i * kTile + row]);
    if (errors) errors[i * kTile + row] = error;
    for (int j = i + 1; j < kGptqBlock; ++j) target[j] = std::fma(-error, block.feedback[i * block.stride + j], target[j]);
  }
  return loss;
}

void gptq_round(const GptqRounding& block) {
  for (int64_t row = 0; row < kTile; ++row) {
    float least = HUGE_VALF;
    int best = 1;
    for (int step = block.lo; step <= block.hi; ++step) {
      const int code = std::clamp(block.around[row] + step, 1, num::kE4m3Count);
      const float loss = round_columns(block, row, num::stored_scale(num::e4m3_magnitude(code), block.global_scale), nullptr);
      if (loss < least) {
        least = loss;
        best = code;
      }
    }
    round_columns(block, row, num::stored_scale(num::e4m3_magnitude(best), block.global_scale), block.errors);
    block.codes[row] = best;
  }
}

void gptq_descend(const GptqDescent& block) {
  for (int64_t row = 0; row < kTile; ++row) {
    const float scale = block.scales[row], reciprocal = 1.0f / scale;
    float gradient[kGptqBlock];
    for (int i = 0; i < kGptqBlock; ++i) gradient[i] = block.gradients[i * kTile + row];
    for (int i = 0; i < kGptqBlock; ++i) {
      const float weight = block.weights[i * kTile + row], old = block.errors[i * kTile + row];
      const float wanted = std::fma(-gradient[i], block.reciprocals[i], weight + old);
      const float error = std::fma(level_of(wanted, reciprocal), scale, -weight), change = error - old;
      block.errors[i * kTile + row] = error;
      block.changes[i * kTile + row] = change;
      for (int j = i + 1; j < kGptqBlock; ++j) gradient[j] = std::fma(change, block.hessian[i * block.stride + j], gradient[j]);
    }
  }
}

void add_tile_rows(const float* b, const int32_t* ks, const float* values, int64_t n, float* c) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < kTile; ++j) c[j] = std::fma(values[i], b[ks[i] * kTile + j], c[j]);
  }
}

}  // namespace

void fill_scalar_gptq_kernels(Kernels& kernels) {
  kernels.gptq_round = gptq_round;
  kernels.gptq_descend = gptq_descend;
  kernels.add_tile_rows = add_tile_rows;
}

}  // namespace nvfp4cal::cpu
