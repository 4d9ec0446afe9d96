// qwantize: single-level blocks along any dimension.
#include "golden/adapters.h"
#include "golden/calls.h"

namespace nvfp4cal::test {

namespace {

// <name>_scales, <name>_quants and <name>_dequant of a search.
template <class Call>
void add(Outputs& outputs, const std::string& name, Call&& call) {
  const auto out = answers<3>([&](nvfp4cal_tensor* t) { return call(&t[0], &t[1], &t[2]); });
  outputs[name + "_scales"] = out[0];
  outputs[name + "_quants"] = out[1];
  outputs[name + "_dequant"] = out[2];
}

nvfp4cal_block_options block_options(uint32_t flags) {
  nvfp4cal_block_options options{};
  options.struct_size = sizeof options;
  options.flags = flags;
  return options;
}

Outputs constants(const nvfp4cal_context* context) {
  return {{"scales", answer([&](nvfp4cal_tensor* out) { return nvfp4cal_block_scale_table(context, out); })}};
}

GoldenTensor dequantized(const nvfp4cal_context* context, const GoldenTensor& quants, const GoldenTensor& scales, int32_t dim) {
  const nvfp4cal_tensor q = view_of(quants), s = view_of(scales);
  return answer([&](nvfp4cal_tensor* out) { return nvfp4cal_block_dequantize(context, &q, &s, dim, out, nullptr); });
}

GoldenTensor quantized(const nvfp4cal_context* context, const GoldenTensor& x, float scale, int32_t dim) {
  const GoldenTensor scales = golden_tensor<float>(NVFP4CAL_DTYPE_F32, {1}, {scale});
  const nvfp4cal_tensor x_view = view_of(x), s = view_of(scales);
  return answer([&](nvfp4cal_tensor* out) { return nvfp4cal_block_quantize(context, &x_view, &s, dim, out, nullptr); });
}

Outputs naive_and_optimal(const nvfp4cal_context* context, const GoldenTensor& x, int32_t dim) {
  const nvfp4cal_tensor w = view_of(x);
  const nvfp4cal_block_options noise_too = block_options(NVFP4CAL_BLOCK_SEARCH_NOISE);
  Outputs outputs;
  add(outputs, "naive",
      [&](nvfp4cal_tensor* s, nvfp4cal_tensor* q, nvfp4cal_tensor* d) { return nvfp4cal_block_naive(context, &w, dim, s, q, d, nullptr); });
  const nvfp4cal_tensor scales = view_of(outputs.at("naive_scales"));
  outputs["naive_sse"] = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_block_sse(context, &w, &scales, dim, out, nullptr); });
  add(outputs, "optimal", [&](nvfp4cal_tensor* s, nvfp4cal_tensor* q, nvfp4cal_tensor* d) {
    return nvfp4cal_block_optimal(context, &w, dim, nullptr, s, q, d, nullptr);
  });
  add(outputs, "searched", [&](nvfp4cal_tensor* s, nvfp4cal_tensor* q, nvfp4cal_tensor* d) {
    return nvfp4cal_block_optimal(context, &w, dim, &noise_too, s, q, d, nullptr);
  });
  return outputs;
}

Outputs hessian_and_admm(const Case& one, const nvfp4cal_context* context, int32_t dim) {
  const nvfp4cal_tensor w = view_of(one.input("x")), acts = view_of(one.input("activations"));
  nvfp4cal_block_options options = block_options(0), guarded = block_options(NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL);
  options.n_outer = guarded.n_outer = one.param("n_outer", 0);
  options.n_inner = guarded.n_inner = one.param("n_inner", 0);
  Outputs outputs;
  add(outputs, "hessian", [&](nvfp4cal_tensor* s, nvfp4cal_tensor* q, nvfp4cal_tensor* d) {
    return nvfp4cal_block_optimal_hessian(context, &w, dim, nullptr, &acts, nullptr, s, q, d, nullptr);
  });
  add(outputs, "admm", [&](nvfp4cal_tensor* s, nvfp4cal_tensor* q, nvfp4cal_tensor* d) {
    return nvfp4cal_block_admm(context, &w, dim, nullptr, &acts, &options, s, q, d, nullptr);
  });
  add(outputs, "guarded", [&](nvfp4cal_tensor* s, nvfp4cal_tensor* q, nvfp4cal_tensor* d) {
    return nvfp4cal_block_admm(context, &w, dim, nullptr, &acts, &guarded, s, q, d, nullptr);
  });
  return outputs;
}

}  // namespace

Outputs call_qwantize(const Case& one, const nvfp4cal_context* context) {
  const int32_t dim = one.param("dim", -1);
  const std::string rule = one.one.at("rule");
  if (rule == "exact") {
    // what the case holds says which function it is about
    if (one.has_input("quants")) return {{"dequant", dequantized(context, one.input("quants"), one.input("scales"), dim)}};
    if (!one.has_input("x")) return constants(context);
    const GoldenTensor half = golden_tensor<float>(NVFP4CAL_DTYPE_F32, {1}, {0.5f}),
                       quants_half = quantized(context, one.input("x"), 0.5f, dim);
    return {{"quants", quantized(context, one.input("x"), 1.0f, dim)},
            {"quants_half", quants_half},
            {"dequant_half", dequantized(context, quants_half, half, dim)}};
  }
  const GoldenTensor& x = one.input("x");
  const int64_t axis = dim < 0 ? dim + static_cast<int64_t>(x.shape.size()) : dim;
  if (x.shape.at(static_cast<size_t>(axis)) != one.param<int64_t>("block")) throw std::runtime_error("block is not x's extent along dim");
  return rule == "naive+optimal" ? naive_and_optimal(context, x, dim) : hessian_and_admm(one, context, dim);
}

}  // namespace nvfp4cal::test
