// The module's one symbol.
#include "kernels/ops.h"

namespace {

using namespace nvfp4cal;

const DeviceOps& table() {
  static const DeviceOps ops = [] {
    DeviceOps made = {};
    made.struct_size = sizeof made;
    made.abi = kDeviceOpsAbi;
    made.device_count = cuda::device_count;
    made.allocate = cuda::allocate;
    made.release = cuda::release;
    made.clear = cuda::clear;
    made.to_device = cuda::to_device;
    made.to_host = cuda::to_host;
    made.synchronize = cuda::synchronize;
    made.record = cuda::record;
    made.wait_event = cuda::wait_event;
    made.synchronize_event = cuda::synchronize_event;
    made.destroy_event = cuda::destroy_event;
    made.is_capturing = cuda::is_capturing;
    made.set_words = cuda::set_words;
    made.convert = cuda::convert;
    made.publish = cuda::publish;
    made.start_check = cuda::start_check;
    made.close_check = cuda::close_check;
    made.merge = cuda::merge;
    made.amax = cuda::amax;
    made.slices = cuda::slices;
    made.check_amaxes = cuda::check_amaxes;
    made.hessian_sweep_workspace = cuda::hessian_sweep_bytes;
    made.sweep = cuda::sweep;
    made.code_amax = cuda::code_amax;
    made.quantize = cuda::quantize;
    made.dequantize = cuda::dequantize;
    made.swizzle = cuda::swizzle;
    made.log2_histogram = cuda::log2_histogram;
    made.hessian_workspace = cuda::hessian_workspace;
    made.hessian = cuda::hessian;
    made.check_hessians = cuda::check_hessians;
    made.block_search_workspace = cuda::block_search_workspace;
    made.block_search = cuda::block_search;
    made.block_apply = cuda::block_apply;
    made.group_range = cuda::group_range;
    made.group_sums = cuda::group_sums;
    made.group_search = cuda::group_search;
    made.losses_workspace = cuda::losses_workspace;
    made.multiplier_losses = cuda::multiplier_losses;
    made.gptq_workspace = cuda::gptq_workspace;
    made.gptq_shift = cuda::gptq_shift;
    made.gptq = cuda::gptq;
    return made;
  }();
  return ops;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const DeviceOps* nvfp4cal_device_ops(void) { return &table(); }
