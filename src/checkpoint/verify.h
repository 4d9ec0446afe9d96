// How far a quantized model is from its original: decoded weights against the original ones, all else byte by byte.
#pragma once

#include <string>

#include "checkpoint/monitor.h"
#include "core/ops.h"

namespace nvfp4cal::checkpoint {

// Returns the report (docs/tool.md). Malformed files and layers are errors; tensors that are missing, left over or different are
// in the report.
std::string verify_model(const Execution& execution, Monitor& monitor, const std::string& original, const std::string& quantized);

}  // namespace nvfp4cal::checkpoint
