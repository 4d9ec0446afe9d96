// The calls of calls.h for single-level blocks.
#pragma once

#include "calls.h"

namespace api_test {
namespace calls {

inline Call block_scale_table() {
  Call call{"block_scale_table", {}, [](Call& c) { return nvfp4cal_block_scale_table(nullptr, c[0]); }, {}, {}};
  call.output("out", NVFP4CAL_DTYPE_F32, {126});
  return call;
}

inline Call block_codebook() {
  Call call{"block_codebook", {}, [](Call& c) { return nvfp4cal_block_codebook(nullptr, c[0], c[1]); }, {}, {}};
  call.output("codebook", NVFP4CAL_DTYPE_F32, {8}, Argument::kOptionalOutput);
  call.output("boundaries", NVFP4CAL_DTYPE_F32, {7}, Argument::kOptionalOutput);
  return call;
}

inline Call block_quantize() {
  Call call{"block_quantize", {}, [](Call& c) { return nvfp4cal_block_quantize(nullptr, c[0], c[1], -1, c[2], nullptr); }, {}, {}};
  call.input("x", x(), {8, 16});
  call.input("scales", Floats(8, 0.25f), {8});
  call.output("out", NVFP4CAL_DTYPE_F32, {8, 16});
  return call;
}

inline Call block_dequantize() {
  Call call{"block_dequantize", {}, [](Call& c) { return nvfp4cal_block_dequantize(nullptr, c[0], c[1], 0, c[2], nullptr); }, {}, {}};
  call.input("quants", Floats(128, 1.5f), {16, 8});
  call.input("scales", Floats(8, 0.25f), {8});
  call.output("out", NVFP4CAL_DTYPE_F32, {16, 8});
  return call;
}

inline Call block_sse() {
  Call call{"block_sse", {}, [](Call& c) { return nvfp4cal_block_sse(nullptr, c[0], c[1], -1, c[2], nullptr); }, {}, {}};
  call.input("x", x(), {4, 2, 16});
  call.input("scales", Floats(8, 0.25f), {4, 2});
  call.output("out", NVFP4CAL_DTYPE_F32, {4, 2});
  return call;
}

// What all searches write.
inline void add_found(Call& call) {
  call.output("scales", NVFP4CAL_DTYPE_F32, {8});
  call.output("quants", NVFP4CAL_DTYPE_F32, {8, 16});
  call.output("dequant", NVFP4CAL_DTYPE_F32, {8, 16}, Argument::kOptionalOutput);
}

inline Call block_naive() {
  Call call{"block_naive", {}, [](Call& c) { return nvfp4cal_block_naive(nullptr, c[0], -1, c[1], c[2], c[3], nullptr); }, {}, {}};
  call.input("w", x(), {8, 16});
  add_found(call);
  return call;
}

inline Call block_optimal() {
  Call call{
      "block_optimal", {}, [](Call& c) { return nvfp4cal_block_optimal(nullptr, c[0], -1, nullptr, c[1], c[2], c[3], nullptr); }, {}, {}};
  call.input("w", x(), {8, 16});
  add_found(call);
  return call;
}

// One of the two is needed: each gets a call of its own.
inline void add_hessians(Call& call) {
  call.input("hessians", hessians(), {2, 16, 16});
  call.arguments.back().null_text = "hessians and activations are both NULL";
}

inline void add_activations(Call& call) {
  call.input("activations", random_values(3 * 32, 2), {3, 32});
  call.arguments.back().null_text = "hessians and activations are both NULL";
}

inline Call block_optimal_hessian() {
  Call call{"block_optimal_hessian",
            {},
            [](Call& c) { return nvfp4cal_block_optimal_hessian(nullptr, c[0], -1, c[1], nullptr, nullptr, c[2], c[3], c[4], nullptr); },
            {},
            {}};
  call.input("w", x(), {8, 16});
  add_hessians(call);
  add_found(call);
  return call;
}

inline Call block_optimal_hessian_activations() {
  Call call{"block_optimal_hessian",
            {},
            [](Call& c) { return nvfp4cal_block_optimal_hessian(nullptr, c[0], -1, nullptr, c[1], nullptr, c[2], c[3], c[4], nullptr); },
            {},
            {}};
  call.input("w", x(), {8, 16});
  add_activations(call);
  add_found(call);
  return call;
}

inline Call block_admm() {
  Call call{"block_admm",
            {},
            [](Call& c) { return nvfp4cal_block_admm(nullptr, c[0], -1, c[1], nullptr, nullptr, c[2], c[3], c[4], nullptr); },
            {},
            {}};
  call.input("w", x(), {8, 16});
  add_hessians(call);
  add_found(call);
  return call;
}

inline Call block_admm_activations() {
  Call call{"block_admm",
            {},
            [](Call& c) { return nvfp4cal_block_admm(nullptr, c[0], -1, nullptr, c[1], nullptr, c[2], c[3], c[4], nullptr); },
            {},
            {}};
  call.input("w", x(), {8, 16});
  add_activations(call);
  add_found(call);
  return call;
}

inline constexpr Maker kBlock[] = {
    block_scale_table,
    block_codebook,
    block_quantize,
    block_dequantize,
    block_sse,
    block_naive,
    block_optimal,
    block_admm,
    block_optimal_hessian,
    block_optimal_hessian_activations,
    block_admm_activations,
};

}  // namespace calls
}  // namespace api_test
