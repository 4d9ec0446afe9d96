#include "api/context.h"

#include <string>

#include "core/backends.h"

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

nvfp4cal_status nvfp4cal_context_threads(const nvfp4cal_context* context, int32_t* out) {
  return barrier(context ? &context->error : nullptr, [&] {
    require(out, "out");
    *out = execution_of(context).threads();
  });
}

const char* nvfp4cal_context_last_error(const nvfp4cal_context* context) { return context ? context->error.text : ""; }

void nvfp4cal_context_destroy(nvfp4cal_context* context) { delete context; }
