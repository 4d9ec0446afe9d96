// pack: nibbles, scale bytes, tiles and back, both decode orders.
#include "golden/adapters.h"
#include "golden/calls.h"

namespace nvfp4cal::test {

namespace {

// packed, scales, global scale
std::array<GoldenTensor, 3> quantized(const nvfp4cal_context* context, const GoldenTensor& w, const GoldenTensor* block_amax,
                                      const nvfp4cal_options& options) {
  const nvfp4cal_tensor x = view_of(w), amax = block_amax ? view_of(*block_amax) : nvfp4cal_tensor{};
  return answers<3>([&](nvfp4cal_tensor* t) {
    return nvfp4cal_quantize(context, &x, nullptr, block_amax ? &amax : nullptr, &options, &t[0], &t[1], &t[2], nullptr);
  });
}

GoldenTensor dequantized(const nvfp4cal_context* context, const GoldenTensor& packed, const GoldenTensor& scales,
                         const GoldenTensor& global, int32_t order) {
  const nvfp4cal_tensor packed_view = view_of(packed), scales_view = view_of(scales), global_view = view_of(global);
  return answer(
      [&](nvfp4cal_tensor* out) { return nvfp4cal_dequantize(context, &packed_view, &scales_view, &global_view, order, out, nullptr); });
}

void add_tiles(Outputs& outputs, const nvfp4cal_context* context) {
  const nvfp4cal_tensor linear = view_of(outputs.at("scale"));
  outputs["scale_swizzled"] = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_swizzle_scales(context, &linear, out, nullptr); });
  const nvfp4cal_tensor tiles = view_of(outputs.at("scale_swizzled"));
  GoldenTensor back = unwritten(linear.dtype, outputs.at("scale").shape);
  nvfp4cal_tensor back_view = view_of(back);
  ok(nvfp4cal_unswizzle_scales(context, &tiles, &back_view, nullptr));
  outputs["scale_unswizzled"] = back;
}

// compressed-tensors' scales and global scale are an observer's: least and largest element of each group.
void add_observed(Outputs& outputs, const Case& one, const nvfp4cal_context* context) {
  const GoldenTensor& w = one.input("w");
  const GoldenTensor matrix = reshaped(w, {w.elements() / w.shape.back(), w.shape.back()});
  const nvfp4cal_tensor view = view_of(matrix);
  const ObserverHandle handle(created(nvfp4cal_observer_create));
  nvfp4cal_observer* const h = handle.get();
  ok(nvfp4cal_observer_set_context(h, context));
  ok(nvfp4cal_observer_set_kind(h, NVFP4CAL_OBSERVER_MEMORYLESS_MINMAX));
  ok(nvfp4cal_observer_set_format(h, NVFP4CAL_OBSERVER_FORMAT_FP4));
  ok(nvfp4cal_observer_set_strategy(h, NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP));
  ok(nvfp4cal_observer_set_group_size(h, options_of(one).block_size));
  ok(nvfp4cal_observer_collect(h, &view, nullptr));
  outputs["ct_scale"] = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_observer_compute_scale(h, out, nullptr); });
  outputs["ct_global_scale"] = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_observer_compute_global_scale(h, out); });
}

}  // namespace

Outputs call_pack(const Case& one, const nvfp4cal_context* context) {
  const GoldenTensor& w = one.input("w");
  nvfp4cal_options options = options_of(one);
  const auto dynamic = quantized(context, w, nullptr, options);
  Outputs outputs = {{"packed", dynamic[0]}, {"scale", dynamic[1]}, {"weight_scale_2", dynamic[2]}};
  add_tiles(outputs, context);
  outputs["decoded"] = dequantized(context, dynamic[0], dynamic[1], dynamic[2], NVFP4CAL_DECODE_MODELOPT);
  const nvfp4cal_tensor x = view_of(w);
  GoldenTensor fake = unwritten(NVFP4CAL_DTYPE_F32, w.shape);
  nvfp4cal_tensor fake_view = view_of(fake);
  ok(nvfp4cal_fake_quantize(context, &x, nullptr, nullptr, &options, &fake_view, nullptr));
  outputs["fake_quantized"] = fake;
  options.scale_layout = NVFP4CAL_SCALES_SWIZZLED;
  outputs["scale_tiled"] = quantized(context, w, nullptr, options)[1];
  options.scale_layout = NVFP4CAL_SCALES_LINEAR;
  if (one.expects("sweep_amax")) {
    const auto fixed = quantized(context, w, &one.expected("sweep_amax"), options);
    outputs["sweep_packed"] = fixed[0];
    outputs["sweep_scale"] = fixed[1];
  }
  options.method = NVFP4CAL_METHOD_MSE;
  outputs["mse_scale"] = quantized(context, w, nullptr, options)[1];
  add_observed(outputs, one, context);
  for (const std::string suffix : {"", "_as_f32"}) {
    if (!one.expects("ct_packed" + suffix)) continue;
    outputs["ct_decoded" + suffix] = dequantized(context, one.expected("ct_packed" + suffix), one.expected("ct_scale" + suffix),
                                                 one.expected("ct_global_scale" + suffix), NVFP4CAL_DECODE_COMPRESSED_TENSORS);
  }
  return outputs;
}

}  // namespace nvfp4cal::test
