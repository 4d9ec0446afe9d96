#include "api/context.h"

#include <string>

#include "api/tensors.h"
#include "core/backends.h"
#include "core/device.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

const char* nvfp4cal_cpu_target(void) { return cpu_target_name(default_cpu_target()); }

const char* nvfp4cal_cpu_targets(void) {
  static const std::string names = [] {
    std::string text;
    for (int i = 0; i < cpu_target_count(); ++i) {
      if (i > 0) text += ',';
      text += cpu_target_name(i);
    }
    return text;
  }();
  return names.c_str();
}

nvfp4cal_status nvfp4cal_context_create(nvfp4cal_context** out) { return create(out); }

nvfp4cal_status nvfp4cal_context_set_threads(nvfp4cal_context* context, int32_t threads) {
  return handle_barrier(context, [&] {
    if (threads < 0 || threads > 1024) fail(Status::kInvalidArgument, "%d threads, expected 1 to 1024, or 0 for the default", threads);
    context->execution.set_threads(threads);
  });
}

nvfp4cal_status nvfp4cal_context_set_runner(nvfp4cal_context* context, nvfp4cal_runner runner, void* user) {
  return handle_barrier(context, [&] { context->execution.set_runner(runner, user); });
}

nvfp4cal_status nvfp4cal_context_set_cpu_target(nvfp4cal_context* context, const char* name) {
  return handle_barrier(context, [&] {
    const int index = name ? cpu_target_index(name) : -1;
    if (name && index < 0) fail(Status::kInvalidArgument, "CPU target \"%s\" is not one of %s", name, nvfp4cal_cpu_targets());
    context->execution.set_cpu_target(index);
  });
}

nvfp4cal_status nvfp4cal_context_set_device_allocator(nvfp4cal_context* context, nvfp4cal_device_allocate allocate,
                                                      nvfp4cal_device_free release, void* user) {
  return handle_barrier(context, [&] {
    if (!allocate != !release)
      fail(Status::kInvalidArgument, "%s is NULL, expected both functions or neither", allocate ? "release" : "allocate");
    context->execution.device_options().allocator = {allocate, release, user};
  });
}

nvfp4cal_status nvfp4cal_context_set_device_status(nvfp4cal_context* context, const nvfp4cal_tensor* status) {
  return handle_barrier(context, [&] {
    DeviceStatusPlace place;
    if (status) {
      constexpr int64_t kWords = sizeof(DeviceStatus) / sizeof(int64_t);
      const TensorView view = input_anywhere(status, "status");
      if (!view.on_device()) fail(Status::kUnsupported, "status lies in host memory, expected on a CUDA device");
      if (view.dtype != Dtype::kI64 || !view.contiguous)
        fail(Status::kUnsupported, "status is %s, expected contiguous int64", dtype_name(view.dtype));
      if (view.elements() != kWords)
        fail(Status::kInvalidArgument, "status has %lld elements, expected %lld", ll(view.elements()), ll(kWords));
      place = {view.data, view.device_id};
    }
    context->execution.device_options().status = place;
  });
}

nvfp4cal_status nvfp4cal_context_check_device_status(const nvfp4cal_context* context, nvfp4cal_stream stream) {
  return barrier(context ? &context->error : nullptr, [&] { check_device_status(execution_of(context), stream); });
}

nvfp4cal_status nvfp4cal_context_threads(const nvfp4cal_context* context, int32_t* out) {
  return barrier(context ? &context->error : nullptr, [&] {
    require(out, "out");
    *out = execution_of(context).threads();
  });
}

const char* nvfp4cal_context_last_error(const nvfp4cal_context* context) { return context ? context->error.text : ""; }

void nvfp4cal_context_destroy(nvfp4cal_context* context) { delete context; }
