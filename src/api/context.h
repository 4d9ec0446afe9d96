#pragma once

#include "api/barrier.h"
#include "core/parallel.h"

struct nvfp4cal_context {
  nvfp4cal::Execution execution;
  mutable nvfp4cal::api::ErrorText error;
};

namespace nvfp4cal::api {

// NULL: the process-wide default.
inline const Execution& execution_of(const nvfp4cal_context* context) {
  return context ? context->execution : Execution::process_default();
}

}  // namespace nvfp4cal::api
