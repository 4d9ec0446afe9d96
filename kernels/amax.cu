// Largest magnitudes, checks, global amaxes and merging.
#include "kernels/amax.cuh"
#include "kernels/check.cuh"
#include "kernels/ops.h"
#include "kernels/status.h"

namespace nvfp4cal::cuda {

namespace {

Groups groups_of(const DeviceAmaxArgs& args) {
  Groups groups{args.x->ndim, {}, {}};
  for (int d = 0; d < args.x->ndim; ++d) {
    groups.shape[d] = args.x->shape[d];
    groups.strides[d] = args.x->shape[d] > 1 ? args.group_strides[d] : 0;
  }
  return groups;
}

// Consecutive elements that belong to one group: the longest trailing dimensions without a group stride.
int64_t run_of(const Groups& groups) {
  int64_t run = 1;
  for (int d = groups.ndim - 1; d >= 0 && groups.strides[d] == 0; --d) run *= groups.shape[d];
  return run;
}

constexpr int64_t kShortRun = 1024;  // most threads of a block have nothing to do: columns are better

cudaError_t launch_amax(const DeviceAmaxArgs& args, cudaStream_t stream) {
  const TensorView& x = *args.x;
  const int64_t n = x.elements();
  if (args.block != 0) {
    return with_reader(x, [&](auto reader) {
      const BlockMax<decltype(reader)> kernel{reader, args.block, args.groups, args.maxima, args.check};
      return launch(kernel, ceil_div(args.groups, kernel.kThreads), stream);
    });
  }
  const Groups groups = groups_of(args);
  const int64_t run = run_of(groups);
  if (run == n || (run >= kShortRun && run % 8 == 0)) {
    return with_reader(x, [&](auto reader) {
      const RunMax<decltype(reader)> kernel{reader, x, groups, run, args.maxima, args.check};
      return launch(kernel, n / run * kernel.segments(), stream);
    });
  }
  const ColumnMax kernel{x, n, x.last(), groups, args.maxima, args.check};
  return launch(kernel, ceil_div(kernel.threads(), kernel.kThreads), stream);
}

}  // namespace

Status start_check(const DeviceQueue& queue, DeviceCheck* check, char* message) {
  return on_device(queue, "checking", message, [&] { return launch(StartCheck{check}, 1, queue.stream); });
}

Status close_check(const DeviceQueue& queue, const DeviceCloseArgs& args, char* message) {
  return on_device(queue, "checking", message, [&] {
    return launch(CloseCheck{*args.x, args.check, args.sticky, args.call}, 1, queue.stream);
  });
}

Status merge(const DeviceQueue& queue, const DeviceMergeArgs& args, char* message) {
  return on_device(queue, "merging", message, [&] {
    const Merge kernel{args.kind, args.state, args.mine, args.count, args.check};
    return launch(kernel, ceil_div(args.count, kernel.kThreads), queue.stream);
  });
}

Status amax(const DeviceQueue& queue, const DeviceAmaxArgs& args, char* message) {
  return on_device(queue, "amax", message, [&] { return args.x->elements() == 0 ? cudaSuccess : launch_amax(args, queue.stream); });
}

Status slices(const DeviceQueue& queue, const DeviceSlicesArgs& args, char* message) {
  return on_device(queue, "global amax", message, [&] {
    const Slices kernel{*args.x,          args.given, args.maxima, args.slices,       args.normalization,
                        args.needs_scale, args.amax,  args.scale,  args.global_scale, args.check};
    return launch(kernel, 1, queue.stream);
  });
}

}  // namespace nvfp4cal::cuda
