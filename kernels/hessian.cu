#include "kernels/hessian.cuh"

#include <algorithm>

#include "kernels/ops.h"
#include "kernels/status.h"

namespace nvfp4cal::cuda {

namespace {

constexpr int64_t kWantedBlocks = 1024;               // of threads: several for each processor
constexpr int64_t kLeastRows = 256;                   // of a part
constexpr int64_t kMostWorkspace = int64_t{1} << 26;  // float64 values

// How the rows are cut: by the shape alone, so that sums are the same on every device.
struct Parts {
  int64_t tiles, pairs, size, count, rows;
};

Parts parts_of(const DeviceHessianArgs& args) {
  const int64_t cols = args.x->last(), rows = args.x->elements() / cols;
  Parts parts{};
  parts.tiles = ceil_div(cols, OuterProducts::kTile);
  parts.pairs = args.layout == HessianLayout::kFull ? parts.tiles * parts.tiles : parts.tiles;
  parts.size = hessian_size(args.layout, cols, args.block);
  const int64_t most = std::max<int64_t>(1, std::min(ceil_div(rows, kLeastRows), kMostWorkspace / parts.size));
  const int64_t wanted = std::clamp<int64_t>(ceil_div(kWantedBlocks, parts.pairs), 1, most);
  parts.rows = ceil_div(ceil_div(rows, wanted), OuterProducts::kRows) * OuterProducts::kRows;
  parts.count = ceil_div(rows, parts.rows);
  return parts;
}

cudaError_t launch_hessian(const DeviceHessianArgs& args, cudaStream_t stream) {
  const Parts parts = parts_of(args);
  const int64_t cols = args.x->last();
  const OuterProducts kernel{*args.x,
                             args.x->elements() / cols,
                             cols,
                             args.layout,
                             args.block,
                             parts.rows,
                             parts.tiles,
                             parts.size,
                             parts.count > 1 ? args.workspace : args.sums,
                             args.check};
  const cudaError_t error = launch(kernel, parts.count * parts.pairs, stream);
  if (error != cudaSuccess || parts.count == 1) return error;
  return launch(JoinParts{args.workspace, parts.count, parts.size, args.sums}, ceil_div(parts.size, JoinParts::kThreads), stream);
}

}  // namespace

int64_t hessian_workspace(const DeviceHessianArgs& args) {
  const Parts parts = parts_of(args);
  return parts.count > 1 ? parts.count * parts.size : 0;
}

Status hessian(const DeviceQueue& queue, const DeviceHessianArgs& args, char* message) {
  return on_device(queue, "sums of squares", message, [&] { return launch_hessian(args, queue.stream); });
}

}  // namespace nvfp4cal::cuda
