// Ranges of groups, and the search for those of least error.
#include "kernels/groups.cuh"

#include "kernels/ops.h"
#include "kernels/status.h"

namespace nvfp4cal::cuda {

namespace {

cudaError_t launch_steps(const DeviceGroupSearchArgs& args, cudaStream_t stream) {
  const GroupSearchArgs& wanted = args.search;
  const Runs runs(*wanted.x, wanted.layout);
  const int64_t groups = wanted.layout.row_groups * runs.col_groups;
  cudaError_t error = cudaSuccess;
  for (int32_t k = 0; k < wanted.steps && error == cudaSuccess; ++k) {
    const int32_t step = wanted.first_step + k;
    const num::RangeRule rule{wanted.format, wanted.symmetric, wanted.global_scales[step], wanted.fp8};
    const RunErrors errors{runs, rule, wanted.factors[step], wanted.norm, wanted.min, wanted.max, args.sums};
    error = launch(errors, errors.blocks(), stream);
    if (error != cudaSuccess) break;
    const DecideStep decide{runs, args.parts, step, args.sums, wanted.best, args.improved + k};
    error = launch(decide, ceil_div(groups, decide.kThreads), stream);
  }
  return error;
}

}  // namespace

Status group_range(const DeviceQueue& queue, const DeviceGroupRangeArgs& args, char* message) {
  return on_device(queue, "ranges", message, [&] {
    const GroupRange kernel{Runs(*args.x, args.layout), args.least, args.largest, args.check};
    return launch(kernel, ceil_div(kernel.threads(), kernel.kThreads), queue.stream);
  });
}

int64_t group_sums(const GroupSearchArgs& args) {
  const Runs runs(*args.x, args.layout);
  return runs.rows * runs.col_groups;
}

Status group_search(const DeviceQueue& queue, const DeviceGroupSearchArgs& args, char* message) {
  return on_device(queue, "searching for ranges", message, [&] { return launch_steps(args, queue.stream); });
}

}  // namespace nvfp4cal::cuda
