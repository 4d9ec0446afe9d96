// The functions of the module's table, one file an op family.
#pragma once

#include "core/device_ops.h"

namespace nvfp4cal::cuda {

Status device_count(int32_t* out, char* message);
Status allocate(const DeviceQueue&, int64_t bytes, void** out, char* message);
Status release(const DeviceQueue&, void* memory, char* message);
Status clear(const DeviceQueue&, void* memory, int value, int64_t bytes, char* message);
Status to_device(const DeviceQueue&, void* to, const void* from, int64_t bytes, char* message);
Status to_host(const DeviceQueue&, void* to, const void* from, int64_t bytes, char* message);
Status synchronize(const DeviceQueue&, char* message);
Status record(const DeviceQueue&, void** event, char* message);
Status wait_event(const DeviceQueue&, void* event, char* message);
Status synchronize_event(const DeviceQueue&, void* event, char* message);
Status destroy_event(const DeviceQueue&, void* event, char* message);
Status is_capturing(const DeviceQueue&, bool* out, char* message);

Status set_words(const DeviceQueue&, const DeviceWordsArgs&, char* message);
Status convert(const DeviceQueue&, const DeviceConvertArgs&, char* message);
Status publish(const DeviceQueue&, const DevicePublishArgs&, char* message);
Status start_check(const DeviceQueue&, DeviceCheck* check, char* message);
Status close_check(const DeviceQueue&, const DeviceCloseArgs&, char* message);
Status merge(const DeviceQueue&, const DeviceMergeArgs&, char* message);
Status amax(const DeviceQueue&, const DeviceAmaxArgs&, char* message);
Status slices(const DeviceQueue&, const DeviceSlicesArgs&, char* message);
Status check_amaxes(const DeviceQueue&, const DeviceAmaxCheckArgs&, char* message);
int64_t hessian_sweep_bytes(int64_t columns);
Status sweep(const DeviceQueue&, const DeviceSweepArgs&, char* message);
Status code_amax(const DeviceQueue&, const DeviceCodeAmaxArgs&, char* message);
Status quantize(const DeviceQueue&, const DeviceQuantizeArgs&, char* message);
Status dequantize(const DeviceQueue&, const DeviceDequantizeArgs&, char* message);
Status swizzle(const DeviceQueue&, const DeviceSwizzleArgs&, char* message);
Status log2_histogram(const DeviceQueue&, const DeviceHistogramArgs&, char* message);
int64_t hessian_workspace(const DeviceHessianArgs&);
Status hessian(const DeviceQueue&, const DeviceHessianArgs&, char* message);
Status check_hessians(const DeviceQueue&, const DeviceHessianCheckArgs&, char* message);
int64_t block_search_workspace(const BlockSearchArgs&);
Status block_search(const DeviceQueue&, const DeviceBlockSearchArgs&, char* message);
Status block_apply(const DeviceQueue&, const DeviceBlockApplyArgs&, char* message);
Status group_range(const DeviceQueue&, const DeviceGroupRangeArgs&, char* message);
int64_t group_sums(const GroupSearchArgs&);
Status group_search(const DeviceQueue&, const DeviceGroupSearchArgs&, char* message);
int64_t losses_workspace(const DeviceLossesArgs&);
Status multiplier_losses(const DeviceQueue&, const DeviceLossesArgs&, char* message);
int64_t gptq_workspace(const DeviceGptqArgs&);
Status gptq_shift(const DeviceQueue&, const DeviceGptqShiftArgs&, char* message);
Status gptq(const DeviceQueue&, const DeviceGptqArgs&, char* message);

}  // namespace nvfp4cal::cuda
