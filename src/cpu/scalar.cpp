// The reference of every kernel: plain loops that follow docs/numerics.md line by line. Always compiled; what every SIMD target is tested against.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/kernels.h"
#include "cpu/load.h"
#include "num/e2m1.h"

namespace nvfp4cal::cpu {

namespace {

// The error of a block at one scale, to the bit: true division, nearest even level, fused residual and sum in order.
float block_error(const float* magnitudes, const float* weights, int block, float scale) {
  float error = 0.0f;
  for (int i = 0; i < block; ++i) {
    const float q = num::e2m1_round(magnitudes[i] / scale);
    const float r = std::fma(-q, scale, magnitudes[i]);
    error = std::fma(weights ? weights[i] * r : r, r, error);
  }
  return error;
}

uint32_t max_bits(Span x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, num::bits_of(load_element(x, i)) & num::kAbsMask);
  return largest;
}

void block_max_bits(Span x, int block, int64_t blocks, uint32_t* out) {
  for (int64_t b = 0; b < blocks; ++b) out[b] = max_bits(x.at(b * block), block);
}

void block_max_numbers(Span x, int block, int64_t blocks, uint16_t* out) {
  const char* at = static_cast<const char*>(x.data);
  for (int64_t b = 0; b < blocks; ++b) {
    out[b] = 0;
    for (int i = 0; i < block; ++i, at += 2) {
      uint16_t number;
      std::memcpy(&number, at, 2);
      out[b] = std::max<uint16_t>(out[b], number & 0x7FFF);
    }
  }
}

bool sweep(const SweepPlan& plan, Span x, int64_t blocks, const BlockWeights* weights, uint8_t* codes) {
  bool finite = true;
  float magnitudes[32];
  for (int64_t b = 0; b < blocks; ++b) {
    for (int i = 0; i < plan.block; ++i) {
      const float magnitude = num::abs_of(load_element(x, b * plan.block + i));
      finite = finite && num::is_finite(magnitude);
      magnitudes[i] = magnitude * plan.prescale * plan.prescale2;
    }
    const float* row = weights ? weights->rows + (weights->first + b) % weights->period * plan.block : nullptr;
    codes[b] = finite ? sweep_block(plan, magnitudes, row) : 1;
  }
  return finite;
}

void max_codes(const SweepPlan& plan, Span x, int64_t blocks, uint8_t* codes) {
  for (int64_t b = 0; b < blocks; ++b) {
    const float maximum = num::from_bits(max_bits(x.at(b * plan.block), plan.block)) * plan.prescale * plan.prescale2;
    codes[b] = num::max_code(maximum, plan.global_scale);
  }
}

void block_scales(const uint8_t* codes, int64_t blocks, DecodeOrder order, float global_scale, float* out) {
  for (int64_t b = 0; b < blocks; ++b) {
    const float value = num::e4m3_value(codes[b]);
    out[b] = order == DecodeOrder::kModelopt ? num::stored_scale(value, global_scale) : num::stored_scale_reciprocal(value, global_scale);
  }
}

void look_up(const uint8_t* codes, int64_t n, const float* values, void* out) {
  char* to = static_cast<char*>(out);
  int64_t i = 0;
  for (; i + 4 <= n; i += 4, to += 16) {  // one store of four: `out` may be where the codes are, for all the compiler knows
    const float four[4] = {values[codes[i]], values[codes[i + 1]], values[codes[i + 2]], values[codes[i + 3]]};
    std::memcpy(to, four, sizeof four);
  }
  for (; i < n; ++i, to += 4) std::memcpy(to, &values[codes[i]], 4);
}

void level_plan(Dtype, float global_scale, LevelUse, LevelPlan* plan) { plan->global_scale = global_scale; }

void pack(const LevelPlan& plan, Span x, int block, int64_t blocks, const uint8_t* codes, uint8_t* packed) {
  for (int64_t b = 0; b < blocks; ++b) {
    const float scale = num::stored_scale(num::e4m3_magnitude(codes[b]), plan.global_scale);
    for (int i = 0; i < block; i += 2) {
      const uint8_t low = num::e2m1_code(load_element(x, b * block + i) / scale);
      const uint8_t high = num::e2m1_code(load_element(x, b * block + i + 1) / scale);
      *packed++ = static_cast<uint8_t>(low | high << 4);
    }
  }
}

void decode(const uint8_t* packed, int block, int64_t blocks, const float* scales, const DecodedSpan& out) {
  char* to = static_cast<char*>(out.data);
  const auto store = [&](float value) {
    const uint16_t half = out.dtype == Dtype::kBf16 ? num::f32_to_bf16(value) : num::f32_to_f16(value);
    const size_t size = dtype_size(out.dtype);
    std::memcpy(to, size == 4 ? static_cast<const void*>(&value) : &half, size);
    to += size;
  };
  for (int64_t b = 0; b < blocks; ++b) {
    for (int i = 0; i < block; i += 2, ++packed) {
      store(num::e2m1_value(*packed & 15) * scales[b]);
      store(num::e2m1_value(*packed >> 4) * scales[b]);
    }
  }
}

void squared_error(const MeasuredBlocks& of, const uint8_t* packed, double* sums) {
  const int64_t n = of.blocks * of.block;
  for (int64_t group = 0; group < n; group += 16 * kErrorRows) {
    for (int64_t column = 0; column < 32; ++column) {
      float error = 0.0f, energy = 0.0f;
      for (int64_t i = group + column; i < std::min(group + 16 * kErrorRows, n); i += 32) {
        const float value = load_element(of.x, i) * of.factor;
        const float residual = value - num::e2m1_value(packed[i / 2] >> (i % 2 * 4) & 15) * of.scales[i / of.block];
        error += residual * residual;
        energy += value * value;
      }
      sums[column % 16] += static_cast<double>(error);
      sums[16 + column % 16] += static_cast<double>(energy);
    }
  }
}

}  // namespace

uint8_t sweep_block(const SweepPlan& plan, const float* magnitudes, const float* weights) {
  const float m = *std::max_element(magnitudes, magnitudes + plan.block);
  if (m == 0.0f) return 1;
  const Ladder ladder = ladder_of(plan, m);
  if (m >= plan.saturation) return static_cast<uint8_t>(plan.has_window || plan.weighted ? ladder.top : num::kE4m3Count);
  if (m <= plan.zero_below && !plan.has_window) return 1;
  float best = num::from_bits(num::kInfBits);
  int best_code = ladder.top;
  for (int code = ladder.top; code >= 1; --code) {
    const float v = num::e4m3_magnitude(code);
    if (!(v * ladder.lower >= ladder.u || v > ladder.always)) break;
    const float error = block_error(magnitudes, weights, plan.block, num::search_scale(code, plan.amax, plan.normalization));
    if (error <= best) {  // walking down: the smallest code wins ties
      best = error;
      best_code = code;
    }
  }
  return static_cast<uint8_t>(best_code);
}

const Kernels& scalar_kernels() {
  static const Kernels kernels = [] {
    Kernels table = {};
    table.name = "scalar";
    table.max_bits = max_bits;
    table.block_max_bits = block_max_bits;
    table.block_max_numbers = block_max_numbers;
    table.sweep = sweep;
    table.max_codes = max_codes;
    table.block_scales = block_scales;
    table.look_up = look_up;
    table.level_plan = level_plan;
    table.pack = pack;
    table.decode = decode;
    table.squared_error = squared_error;
    fill_scalar_hessian_kernels(table);
    fill_scalar_error_kernels(table);
    fill_scalar_linalg_kernels(table);
    fill_scalar_gptq_kernels(table);
    fill_scalar_block_kernels(table);
    return table;
  }();
  return kernels;
}

}  // namespace nvfp4cal::cpu
