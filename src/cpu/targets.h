#pragma once

#include "core/parallel.h"
#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

// The table that work under this execution uses.
const Kernels& kernels_of(const Execution& execution);

}  // namespace nvfp4cal::cpu
