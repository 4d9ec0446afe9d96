// Largest magnitudes, checks, global amaxes and merging.
#include "kernels/amax.cuh"

#include <cstring>

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
      const int64_t segments = ceil_div(run, RunMax<decltype(reader)>::kSegment);
      const RunMax<decltype(reader)> kernel{reader, x, groups, run, segments, run == n, args.maxima, args.check};
      return launch(kernel, n / run * segments, stream);
    });
  }
  const ColumnMax kernel{x, n, x.last(), groups, args.maxima, args.check};
  return launch(kernel, ceil_div(kernel.threads(), kernel.kThreads), stream);
}

}  // namespace

Status set_words(const DeviceQueue& queue, const DeviceWordsArgs& args, char* message) {
  return on_device(queue, "setting values", message, [&] {
    cudaError_t error = cudaSuccess;
    SetWords kernel = {};
    for (int64_t first = 0; first < args.count && error == cudaSuccess; first += kernel.kThreads) {
      kernel.count = static_cast<int>(args.count - first < kernel.kThreads ? args.count - first : kernel.kThreads);
      std::memcpy(kernel.words, static_cast<const uint32_t*>(args.from) + first, static_cast<size_t>(kernel.count) * sizeof(uint32_t));
      kernel.to = static_cast<uint32_t*>(args.to) + first;
      error = launch(kernel, 1, queue.stream);
    }
    return error;
  });
}

Status convert(const DeviceQueue& queue, const DeviceConvertArgs& args, char* message) {
  return on_device(queue, "converting to float32", message, [&] {
    const Convert kernel{*args.x, args.x->elements(), args.to};
    return launch(kernel, ceil_div(kernel.elements, kernel.kThreads * kernel.kElements), queue.stream);
  });
}

Status publish(const DeviceQueue& queue, const DevicePublishArgs& args, char* message) {
  return on_device(queue, "keeping a failure", message, [&] { return launch(Publish{args.check, args.status}, 1, queue.stream); });
}

Status start_check(const DeviceQueue& queue, DeviceCheck* check, char* message) {
  return on_device(queue, "checking", message, [&] { return launch(StartCheck{check}, 1, queue.stream); });
}

Status close_check(const DeviceQueue& queue, const DeviceCloseArgs& args, char* message) {
  return on_device(queue, "checking", message, [&] {
    return launch(CloseCheck{*args.x, args.check, args.sticky, args.call, args.fault}, 1, queue.stream);
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
