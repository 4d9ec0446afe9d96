#include "api/checkpoint.h"

#include "api/context.h"
#include "checkpoint/glob.h"
#include "checkpoint/file.h"
#include "checkpoint/input_scales.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

nvfp4cal_status nvfp4cal_checkpoint_create(nvfp4cal_checkpoint** out) { return create(out); }

nvfp4cal_status nvfp4cal_checkpoint_set_context(nvfp4cal_checkpoint* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->job.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_checkpoint_set_method(nvfp4cal_checkpoint* handle, int32_t method) {
  return handle_barrier(handle, [&] {
    if (method < NVFP4CAL_METHOD_MAX || method > NVFP4CAL_METHOD_GPTQ) fail(Status::kInvalidArgument, "method %d is not known", method);
    handle->job.options().method = static_cast<checkpoint::ScaleMethod>(method);
  });
}

nvfp4cal_status nvfp4cal_checkpoint_set_format(nvfp4cal_checkpoint* handle, int32_t format) {
  return handle_barrier(handle, [&] {
    if (format != NVFP4CAL_FORMAT_MODELOPT && format != NVFP4CAL_FORMAT_COMPRESSED_TENSORS)
      fail(Status::kInvalidArgument, "format %d is not known", format);
    handle->job.options().format = static_cast<checkpoint::Format>(format);
  });
}

namespace {

nvfp4cal_status add_pattern(nvfp4cal_checkpoint* handle, std::vector<std::string> checkpoint::LayerRules::*list, const char* pattern) {
  return handle_barrier(handle, [&] {
    require(pattern, "pattern");
    checkpoint::Glob{pattern};  // refuses what is none
    (handle->job.options().rules.*list).emplace_back(pattern);
  });
}

}  // namespace

nvfp4cal_status nvfp4cal_checkpoint_add_include(nvfp4cal_checkpoint* handle, const char* pattern) {
  return add_pattern(handle, &checkpoint::LayerRules::include, pattern);
}

nvfp4cal_status nvfp4cal_checkpoint_add_exclude(nvfp4cal_checkpoint* handle, const char* pattern) {
  return add_pattern(handle, &checkpoint::LayerRules::exclude, pattern);
}

nvfp4cal_status nvfp4cal_checkpoint_add_fuse_group(nvfp4cal_checkpoint* handle, const char* pattern) {
  return add_pattern(handle, &checkpoint::LayerRules::fuse, pattern);
}

nvfp4cal_status nvfp4cal_checkpoint_set_input_scale(nvfp4cal_checkpoint* handle, float scale) {
  return handle_barrier(handle, [&] {
    if (scale != 0.0f) checkpoint::check_input_scale("the input scale", scale);
    handle->job.options().input_scale = scale;
  });
}

nvfp4cal_status nvfp4cal_checkpoint_set_input_scales_file(nvfp4cal_checkpoint* handle, const char* path) {
  return handle_barrier(handle, [&] {
    checkpoint::Options& options = handle->job.options();
    std::map<std::string, float> scales;
    if (path) scales = checkpoint::read_input_scales(path);
    options.input_scales = std::move(scales);
    options.input_scales_file = path ? path : "";
  });
}

nvfp4cal_status nvfp4cal_checkpoint_set_hessians(nvfp4cal_checkpoint* handle, const char* folder) {
  return handle_barrier(handle, [&] {
    if (folder && checkpoint::kind_of(folder) != checkpoint::PathKind::kFolder) fail(Status::kIo, "%s is no folder", folder);
    handle->job.options().hessians = folder ? folder : "";
  });
}

nvfp4cal_status nvfp4cal_checkpoint_set_effort(nvfp4cal_checkpoint* handle, int32_t effort) {
  return handle_barrier(handle, [&] {
    calib::Gptq().set_effort(effort);  // refuses what is none
    handle->job.options().effort = static_cast<GptqEffort>(effort);
  });
}

nvfp4cal_status nvfp4cal_checkpoint_set_damping(nvfp4cal_checkpoint* handle, double fraction) {
  return handle_barrier(handle, [&] {
    calib::Gptq().set_damping(fraction);  // refuses what is none
    handle->job.options().damping = fraction;
  });
}

nvfp4cal_status nvfp4cal_checkpoint_set_dry_run(nvfp4cal_checkpoint* handle, int32_t enable) {
  return handle_barrier(handle, [&] { handle->job.options().dry_run = enable != 0; });
}

nvfp4cal_status nvfp4cal_checkpoint_set_detail(nvfp4cal_checkpoint* handle, int32_t enable) {
  return handle_barrier(handle, [&] { handle->job.options().detail = enable != 0; });
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
