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

}  // namespace

void block_search_on_device(const Device& device, const BlockedTensor& w, BlockMethod method, const BlockOptions& options,
                            const BlockOutputs& outputs) {
  if (method != BlockMethod::kNaive && method != BlockMethod::kOptimal)
    fail(Status::kUnsupported, "w lies on CUDA device %d: block searches with Hessians compute on host tensors", w.view.device_id);
  const DeviceChecker check(device);
  check_finite(device, w, check);
  const TensorView quants = w.like(outputs.quants), dequant = w.like(outputs.dequant);
  if (w.count() > 0) {
    device.run(&DeviceOps::block_search, DeviceBlockSearchArgs{&w.blocks, method == BlockMethod::kOptimal, options.search_noise,
                                                               outputs.scales, &quants, &dequant, check.get()});
  }
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
