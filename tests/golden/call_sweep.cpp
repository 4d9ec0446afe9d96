// nvfp4_mse and nvfp4_hessian: the search in one call and with a handle, the max method, Hessians of activations.
#include "golden/adapters.h"
#include "golden/calls.h"

namespace nvfp4cal::test {

namespace {

// hessian: NULL for the plain search.
Outputs searched(const Case& one, const nvfp4cal_context* context, const GoldenTensor& x, const GoldenTensor* hessian) {
  const GoldenTensor& g = one.input("global_amax");
  const nvfp4cal_options options = options_of(one);
  const nvfp4cal_tensor x_view = view_of(x), g_view = view_of(g), h_view = hessian ? view_of(*hessian) : nvfp4cal_tensor{};
  Outputs outputs;
  outputs["amax"] = answer([&](nvfp4cal_tensor* out) {
    return hessian ? nvfp4cal_scale_sweep_hessian(context, &x_view, &g_view, &h_view, &options, out, nullptr)
                   : nvfp4cal_scale_sweep(context, &x_view, &g_view, &options, out, nullptr);
  });
  const SweepHandle handle(created(nvfp4cal_sweep_create));
  ok(nvfp4cal_sweep_set_context(handle.get(), context));
  ok(nvfp4cal_sweep_set_block_size(handle.get(), options.block_size));
  ok(nvfp4cal_sweep_set_global_amax(handle.get(), &g_view));
  if (hessian) ok(nvfp4cal_sweep_set_hessian(handle.get(), &h_view));
  ok(nvfp4cal_sweep_collect(handle.get(), &x_view, nullptr));
  outputs["amax_of_handle"] = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_sweep_compute_amax(handle.get(), out); });
  outputs["codes"] = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_sweep_compute_codes(handle.get(), out); });
  return outputs;
}

HessianHandle collected(const Case& one, const nvfp4cal_context* context, bool normalize) {
  HessianHandle handle(created(nvfp4cal_hessian_create));
  ok(nvfp4cal_hessian_set_context(handle.get(), context));
  ok(nvfp4cal_hessian_set_block_size(handle.get(), one.param<int32_t>("block", 16)));
  ok(nvfp4cal_hessian_set_normalize(handle.get(), normalize));
  const nvfp4cal_tensor x = view_of(one.input("activations"));
  ok(nvfp4cal_hessian_collect(handle.get(), &x, nullptr));
  return handle;
}

}  // namespace

Outputs call_nvfp4_mse(const Case& one, const nvfp4cal_context* context) {
  const GoldenTensor& x = one.input("x");
  Outputs outputs = searched(one, context, x, nullptr);
  const nvfp4cal_options options = options_of(one);
  // the searches take blocks that cross rows, this function does not
  const bool whole = !x.shape.empty() && x.shape.back() % options.block_size == 0;
  const GoldenTensor rows = whole ? x : reshaped(x, {x.elements() / options.block_size, options.block_size});
  const nvfp4cal_tensor x_view = view_of(rows), g_view = view_of(one.input("global_amax"));
  outputs["codes_max"] = answers<2>([&](nvfp4cal_tensor* t) {
    return nvfp4cal_quantize(context, &x_view, &g_view, nullptr, &options, &t[0], &t[1], nullptr, nullptr);
  })[1];
  return outputs;
}

Outputs call_nvfp4_hessian(const Case& one, const nvfp4cal_context* context) {
  Outputs outputs;
  if (one.has_input("w")) {
    // the codes of the case belong to its own matrix, given or expected
    outputs = searched(one, context, one.input("w"), one.has_input("hessian") ? &one.input("hessian") : &one.expected("hessian"));
  }
  if (one.has_input("activations")) {
    const HessianHandle handle = collected(one, context, one.param<bool>("normalize", false));
    outputs["hessian"] = answer([&](nvfp4cal_tensor* out) { return nvfp4cal_hessian_compute_hessian(handle.get(), out); });
    const HessianHandle sums = collected(one, context, false);
    nvfp4cal_tensor view{};
    int32_t reduce = -1;
    ok(nvfp4cal_hessian_state_tensor(sums.get(), 0, &view, &reduce));
    const std::vector<int64_t> shape(view.shape, view.shape + view.ndim);
    const double* const values = static_cast<const double*>(view.data);
    outputs["hessian_unnormalized"] = golden_tensor(NVFP4CAL_DTYPE_F64, shape, std::vector<double>(values, values + count_of(shape)));
  }
  return outputs;
}

}  // namespace nvfp4cal::test
