// Which backend computes for a tensor.
#pragma once

#include <string>

#include "core/ops.h"

namespace nvfp4cal {

// The CPU backend's table (src/cpu/ops.cpp).
const Ops& cpu_ops();

// CPU targets that this build has and this machine runs, best first: "avx512", "avx2", "sse4", "neon", "scalar".
int cpu_target_count();
const char* cpu_target_name(int index);
// The index of a name, -1 if this machine does not have it.
int cpu_target_index(const char* name);
// The target used where none is asked for: NVFP4CAL_CPU_TARGET if it names one, else 0.
int default_cpu_target();

// The backend for host tensors; device tensors take the paths of core/device.h. Throws kUnsupported for them.
const Ops& ops_for(const TensorView& x);

}  // namespace nvfp4cal
