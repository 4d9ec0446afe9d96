// What lies in a model folder, and whether engines can use it: tensors, scales, fused groups, configuration, sizes.
#pragma once

#include <string>

#include "checkpoint/monitor.h"
#include "core/ops.h"

namespace nvfp4cal::checkpoint {

// Returns the report (docs/tool.md). Files that are malformed are errors; flaws of the model are in its list of defects.
std::string inspect_model(const Execution& execution, Monitor& monitor, const std::string& folder);

}  // namespace nvfp4cal::checkpoint
