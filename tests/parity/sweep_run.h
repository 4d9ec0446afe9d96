// Runs the search of one CPU target on blocks, and compares with what must come out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "core/backends.h"
#include "core/parallel.h"
#include "cpu/kernels.h"
#include "cpu/targets.h"
#include "support/blocks.h"

namespace nvfp4cal::test {

inline const cpu::Kernels& kernels_of_target(int target) {
  Execution execution;
  execution.set_cpu_target(target);
  return cpu::kernels_of(execution);
}

// Weights as the kernels take them: each block's times a power of two.
inline std::vector<float> normalized_weights(const std::vector<float>& weights, int block) {
  std::vector<float> out = weights;
  for (size_t b = 0; b < out.size(); b += static_cast<size_t>(block)) {
    const float factor = cpu::weight_prescale(out.data() + b, block);
    for (int i = 0; i < block; ++i) out[b + static_cast<size_t>(i)] *= factor;
  }
  return out;
}

struct Search {
  Setting setting;
  const float* normalized_weights = nullptr;
  int64_t weight_period = 1;
  bool has_window = false;
  int lo = 0, hi = 0;
};

// With the integer filter, where the target has one and the search is of its kind; no codes if an element is not finite.
inline std::vector<uint8_t> integer_codes_of(const cpu::Kernels& kernels, const Search& search, const TypedBlocks& x) {
  const Setting& setting = search.setting;
  cpu::SweepPlan plan(setting.global_amax, setting.block, setting.normalization);
  plan.set_integer_ladder();
  std::vector<int16_t> roots;
  if (search.normalized_weights) {
    plan.set_weighted();
    roots.resize(static_cast<size_t>(search.weight_period * setting.block));
    cpu::weight_roots(search.normalized_weights, static_cast<int64_t>(roots.size()), roots.data());
  }
  const cpu::BlockWeights weights{search.normalized_weights, 0, search.weight_period, roots.data()};
  std::vector<uint8_t> codes(x.values.size() / static_cast<size_t>(setting.block), 0xEE);
  const bool finite = kernels.integer_sweep(plan, {x.dtype, x.data()}, static_cast<int64_t>(codes.size()),
                                            search.normalized_weights ? &weights : nullptr, codes.data());
  if (!finite) codes.clear();
  return codes;
}

inline std::vector<uint8_t> integer_codes_of(const cpu::Kernels& kernels, const Setting& setting, const TypedBlocks& x) {
  return integer_codes_of(kernels, Search{setting}, x);
}

inline bool has_integer_search(const cpu::Kernels& kernels, const Search& search) {
  return kernels.integer_sweep && search.setting.block == 16 && !search.has_window;
}

inline std::vector<uint8_t> codes_of(const cpu::Kernels& kernels, const Search& search, const TypedBlocks& x) {
  const int64_t blocks = static_cast<int64_t>(x.values.size()) / search.setting.block;
  cpu::SweepPlan plan(search.setting.global_amax, search.setting.block, search.setting.normalization);
  const cpu::BlockWeights weights{search.normalized_weights, 0, search.weight_period};
  if (search.normalized_weights) plan.set_weighted();
  if (search.has_window) plan.set_window(search.lo, search.hi);
  std::vector<uint8_t> codes(static_cast<size_t>(blocks), 0xEE);
  const bool finite = kernels.sweep(plan, {x.dtype, x.data()}, blocks, search.normalized_weights ? &weights : nullptr, codes.data());
  if (!finite) codes.clear();
  return codes;
}

inline std::string block_text(const float* x, int block) {
  std::ostringstream text;
  text << std::hexfloat;
  for (int i = 0; i < block; ++i) text << x[i] << ' ';
  return text.str();
}

inline std::string setting_text(const Setting& setting) {
  std::ostringstream text;
  text << std::hexfloat << "G " << setting.global_amax << std::defaultfloat << " block " << setting.block << " N " << setting.normalization;
  return text.str();
}

// What an oracle run found; the first failure is described.
struct Verdict {
  int64_t blocks = 0, other_code = 0, outside = 0;
  std::string first;
};

inline void judge(const Setting& setting, const std::vector<float>& x, const float* weights, const std::vector<uint8_t>& codes,
                  Verdict& verdict) {
  const Oracle oracle(setting);
  const int64_t blocks = static_cast<int64_t>(codes.size());
  const Oracle::Best best = oracle.search(x.data(), weights, blocks);
  for (int64_t b = 0; b < blocks; ++b) {
    const size_t i = static_cast<size_t>(b);
    const float* const block = x.data() + b * setting.block;
    const float* const w = weights ? weights + b * setting.block : nullptr;
    verdict.other_code += codes[i] != best.codes[i];
    if (oracle.accepts(block, w, codes[i], best.codes[i], best.errors[i]) || verdict.outside++ > 0) continue;
    verdict.first = setting_text(setting) + ": code " + std::to_string(codes[i]) + ", expected " + std::to_string(best.codes[i]) +
                    ", error ratio - 1 " + std::to_string(oracle.error(block, w, codes[i]) / best.errors[i] - 1) + ", block " +
                    block_text(block, setting.block);
  }
  verdict.blocks += blocks;
}

inline int64_t number_from(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoll(text, nullptr, 10) : otherwise;
}

// float16 least often: it has the narrowest range of amaxes.
inline Dtype any_dtype(Random& random) {
  const int64_t tenth = random.below(10);
  return tenth < 6 ? Dtype::kF32 : tenth < 9 ? Dtype::kBf16 : Dtype::kF16;
}

// Global amaxes that need care: powers of two and their neighbours, subnormal, tiny, huge.
inline std::vector<float> hard_amaxes() {
  return {1.0f,   0x1.fffffep0f, 0x1.000002p0f, 2688.0f,         1536.0f, 0.0371f,     6.0f,   1e-38f,     0x1p-126f,
          1e-42f, 3e-7f,         1e38f,         0x1.fffffep127f, 3e30f,   7.0f / 3.0f, 1e-30f, 0x1.8p-64f, 448.0f};
}

}  // namespace nvfp4cal::test
