// The reference of GPTQ's blocks: plain loops over the rows.
#include <cmath>

#include "cpu/kernels.h"
#include "num/gptq.h"

namespace nvfp4cal::cpu {

namespace {

// A row of the lanes; errors: NULL, or written.
struct RoundingRow {
  const GptqRounding& block;
  int64_t row;
  float* errors;

  float target(int i) const { return block.targets[i * kTile + row]; }
  float weight(int i) const { return block.weights[i * kTile + row]; }
  float pivot(int i) const { return block.pivots[i]; }
  float feedback(int i, int j) const { return block.feedback[i * block.stride + j]; }
  void keep(int i, float error) const {
    if (errors) errors[i * kTile + row] = error;
  }
};

struct DescentRow {
  const GptqDescent& block;
  int64_t row;

  float gradient(int i) const { return block.gradients[i * kTile + row]; }
  float weight(int i) const { return block.weights[i * kTile + row]; }
  float error(int i) const { return block.errors[i * kTile + row]; }
  float reciprocal(int i) const { return block.reciprocals[i]; }
  float hessian(int i, int j) const { return block.hessian[i * block.stride + j]; }
  void keep(int i, float error, float change) const {
    block.errors[i * kTile + row] = error;
    block.changes[i * kTile + row] = change;
  }
};

void gptq_round(const GptqRounding& block) {
  for (int64_t row = 0; row < kTile; ++row) {
    float least = HUGE_VALF;
    int best = 1;
    for (int step = block.lo; step <= block.hi; ++step) {
      const int code = num::gptq_candidate(block.around[row], step);
      const float loss = num::gptq_round_columns(RoundingRow{block, row, nullptr}, num::gptq_scale(code, block.global_scale));
      if (loss < least) {
        least = loss;
        best = code;
      }
    }
    num::gptq_round_columns(RoundingRow{block, row, block.errors}, num::gptq_scale(best, block.global_scale));
    block.codes[row] = best;
  }
}

void gptq_descend(const GptqDescent& block) {
  for (int64_t row = 0; row < kTile; ++row) num::gptq_descend_columns(DescentRow{block, row}, block.scales[row]);
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
