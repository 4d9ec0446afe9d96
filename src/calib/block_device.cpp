#include "calib/block_device.h"

namespace nvfp4cal::calib {

namespace {

// A first look at all of x: its first element that is not finite, by the index in the tensor as it was given.
void check_finite(const Device& device, const BlockedTensor& x, const DeviceChecker& check) {
  const DeviceArray<uint32_t> largest(device, 1);
  largest.clear();
  device.run(&DeviceOps::amax, DeviceAmaxArgs{&x.view, {}, 1, 0, largest.data(), check.get()});
  device.run(&DeviceOps::close_check, DeviceCloseArgs{&x.view, check.get(), nullptr, 0});
}

// [columns, block, block] on the device, from wherever they are.
struct PlacedHessians {
  DeviceArray<double> values{};
  int64_t columns = 0;
};

PlacedHessians place_given(const Device& device, const BlockedTensor& w, const TensorView& hessians, const DeviceChecker& check) {
  const int64_t columns = check_hessians_shape(w, hessians), n = w.extent();
  PlacedHessians placed{DeviceArray<double>(device, columns * n * n), columns};
  device.run(&DeviceOps::check_hessians, DeviceHessianCheckArgs{&hessians, HessianUse::kBlocks, placed.values.data(), check.get()});
  return placed;
}

PlacedHessians place_products(const Device& device, const BlockedTensor& w, const TensorView& x, const DeviceChecker& check) {
  const int64_t columns = check_activations_shape(w, x), n = w.extent();
  PlacedHessians placed{DeviceArray<double>(device, columns * n * n), columns};
  DeviceHessianArgs args{&x, HessianLayout::kBlocks, static_cast<int>(n), placed.values.data(), nullptr, check.get()};
  const DeviceArray<double> workspace(device, device.ops().hessian_workspace(args));
  args.workspace = workspace.data();
  device.run(&DeviceOps::hessian, args);
  device.run(&DeviceOps::close_check, DeviceCloseArgs{&x, check.get(), nullptr, 0, DeviceFault::kActivationsNotFinite});
  return placed;
}

PlacedHessians place_hessians(const Device& device, const BlockedTensor& w, const BlockHessianInput& given, const DeviceChecker& check) {
  if (given.hessians) return place_given(device, w, *given.hessians, check);
  if (given.activations) return place_products(device, w, *given.activations, check);
  PlacedHessians placed{DeviceArray<double>(device, static_cast<int64_t>(given.host.values.size())), given.host.columns};
  placed.values.set(given.host.values.data());
  return placed;
}

}  // namespace

void block_search_on_device(const Device& device, const BlockedTensor& w, BlockMethod method, const BlockHessianInput& given,
                            const BlockOptions& options, const BlockOutputs& outputs) {
  const DeviceChecker check(device);
  const PlacedHessians hessians = place_hessians(device, w, given, check);
  check_finite(device, w, check);
  const TensorView quants = w.like(outputs.quants), dequant = w.like(outputs.dequant);
  BlockSearchArgs args = block_search_args(w, method, options);
  args.hessians = hessians.values.data();
  args.columns = hessians.columns;
  args.scales = outputs.scales;
  args.quants = &quants;
  args.dequant = &dequant;
  const DeviceArray<double> workspace(device, device.ops().block_search_workspace(args));
  if (w.count() > 0) device.run(&DeviceOps::block_search, DeviceBlockSearchArgs{args, workspace.data(), check.get()});
  check.finish("w");
}

void block_apply_on_device(const Device& device, const BlockedTensor& x, const DeviceFloats& scales, const BlockResults& results,
                           const char* name) {
  const int64_t count = scales.count();
  if (count != 1 && count != x.count())
    fail(Status::kInvalidArgument, "scales has %lld elements, expected %lld or 1", ll(count), ll(x.count()));
  DeviceArray<float> copy;
  const float* const given = scales.on(device, copy);
  const DeviceChecker check(device);
  device.run(&DeviceOps::check_amaxes, DeviceAmaxCheckArgs{given, count, true, check.get()});
  check_finite(device, x, check);
  const TensorView quants = x.like(results.quants), dequant = x.like(results.dequant);
  device.run(&DeviceOps::block_apply, DeviceBlockApplyArgs{&x.blocks, x.count(), given, count == 1 ? 0 : 1, &quants, &dequant,
                                                           results.errors, results.wide, check.get()});
  check.finish(name);
}

}  // namespace nvfp4cal::calib
