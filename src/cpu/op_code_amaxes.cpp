// From scale codes to what calibrators return: the amax that each code stands for.
#include <algorithm>

#include "cpu/ops.h"
#include "cpu/targets.h"
#include "num/scale.h"

namespace nvfp4cal::cpu {

void code_amaxes(const Execution& execution, const CodeAmaxArgs& args) {
  constexpr int64_t kBlocksPerTask = 65536;
  const Kernels& kernels = kernels_of(execution);
  const int64_t per_slice = args.blocks / args.slices, tasks_per_slice = (per_slice + kBlocksPerTask - 1) / kBlocksPerTask;
  execution.parallel_for(tasks_per_slice * args.slices, [&](int64_t task) {
    const int64_t slice = task / tasks_per_slice, first = task % tasks_per_slice * kBlocksPerTask;
    alignas(64) float amax[128];  // the last one is no code's
    for (int code = 0; code < 128; ++code) amax[code] = num::block_amax(std::min(code, 126), args.global_amax[slice], args.normalization);
    const int64_t begin = slice * per_slice + first;
    kernels.look_up(args.codes + begin, std::min(per_slice - first, kBlocksPerTask), amax, static_cast<char*>(args.out) + begin * 4);
  });
}

}  // namespace nvfp4cal::cpu
