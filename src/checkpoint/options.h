// What a job is asked to do.
#pragma once

#include <cstdint>

#include "core/ops.h"

namespace nvfp4cal::checkpoint {

enum class Format : int32_t { kModelopt = 0, kCompressedTensors = 1 };

struct Options {
  Format format = Format::kModelopt;
  Method method = Method::kMse;
  bool measure_error = true;
};

}  // namespace nvfp4cal::checkpoint
