#include "api/checkpoint.h"

#include "api/context.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

nvfp4cal_status nvfp4cal_checkpoint_create(nvfp4cal_checkpoint** out) { return create(out); }

nvfp4cal_status nvfp4cal_checkpoint_set_context(nvfp4cal_checkpoint* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->job.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_checkpoint_set_method(nvfp4cal_checkpoint* handle, int32_t method) {
  return handle_barrier(handle, [&] {
    if (method != NVFP4CAL_METHOD_MAX && method != NVFP4CAL_METHOD_MSE) fail(Status::kInvalidArgument, "method %d is not known", method);
    handle->job.options().method = static_cast<Method>(method);
  });
}

nvfp4cal_status nvfp4cal_checkpoint_set_format(nvfp4cal_checkpoint* handle, int32_t format) {
  return handle_barrier(handle, [&] {
    if (format != NVFP4CAL_FORMAT_MODELOPT && format != NVFP4CAL_FORMAT_COMPRESSED_TENSORS)
      fail(Status::kInvalidArgument, "format %d is not known", format);
    handle->job.options().format = static_cast<checkpoint::Format>(format);
  });
}

nvfp4cal_status nvfp4cal_checkpoint_set_measure_error(nvfp4cal_checkpoint* handle, int32_t enable) {
  return handle_barrier(handle, [&] { handle->job.options().measure_error = enable != 0; });
}

nvfp4cal_status nvfp4cal_checkpoint_set_progress(nvfp4cal_checkpoint* handle, nvfp4cal_progress callback, void* user) {
  return handle_barrier(handle, [&] { handle->job.set_progress(callback, user); });
}

nvfp4cal_status nvfp4cal_checkpoint_run(nvfp4cal_checkpoint* handle, const char* input, const char* output) {
  return handle_barrier(handle, [&] {
    require(input, "input");
    require(output, "output");
    handle->job.run(input, output);
  });
}

nvfp4cal_status nvfp4cal_checkpoint_cancel(nvfp4cal_checkpoint* handle) {
  // From another thread than run: the handle's error text is not touched.
  if (!handle) return keep_error(NVFP4CAL_ERROR_INVALID_ARGUMENT, "handle is NULL", nullptr);
  handle->job.cancel();
  return NVFP4CAL_OK;
}

nvfp4cal_status nvfp4cal_checkpoint_report(const nvfp4cal_checkpoint* handle, const char** out_json) {
  return handle_barrier(handle, [&] {
    require(out_json, "out_json");
    const std::string* report = handle->job.report();
    if (!report) fail(Status::kNoData, "no report: no run has succeeded");
    *out_json = report->c_str();
  });
}

nvfp4cal_status nvfp4cal_checkpoint_reset(nvfp4cal_checkpoint* handle) {
  return handle_barrier(handle, [&] { handle->job.reset(); });
}

const char* nvfp4cal_checkpoint_last_error(const nvfp4cal_checkpoint* handle) { return handle ? handle->error.text : ""; }

void nvfp4cal_checkpoint_destroy(nvfp4cal_checkpoint* handle) { delete handle; }
