// The exact search (sweep.cu) behind the table, and what its codes are.
#include "kernels/search.cuh"

#include "kernels/hessian_sweep.h"
#include "kernels/ops.h"
#include "kernels/status.h"
#include "kernels/sweep.h"

namespace nvfp4cal::cuda {

namespace {

cudaError_t launch_search_of(const DeviceSweepArgs& args, cudaStream_t stream) {
  const int64_t blocks = args.x->elements() / args.block;
  SweepFindings* const findings = reinterpret_cast<SweepFindings*>(args.findings);
  static_assert(sizeof *findings == 2 * sizeof *args.findings);
  SweepLaunch search = {};
  search.x = args.x->data;
  search.dtype = args.x->dtype;
  search.block = args.block;
  search.normalization = args.normalization;
  search.global_amax = args.amax;
  search.slices = args.slices;
  search.blocks_per_slice = blocks / args.slices;
  search.has_window = args.has_window;
  search.window_lo = args.window_lo;
  search.window_hi = args.window_hi;
  if (args.weights) {
    search.weights = args.weights->data;
    search.weights_dtype = args.weights->dtype;
    search.weight_blocks = args.weights->elements() / args.block;
  }
  search.codes = args.codes;
  search.findings = findings;
  if (args.hessian) return launch_hessian_sweep({search, args.hessian, args.columns, args.check}, args.workspace, stream);
  const cudaError_t error = launch_sweep(search, stream);
  if (error != cudaSuccess || !args.weights) return error;
  return launch(CloseWeights{*args.weights, &args.findings[1], args.check}, 1, stream);
}

}  // namespace

int64_t hessian_sweep_bytes(int64_t columns) { return static_cast<int64_t>(hessian_sweep_workspace(columns)); }

Status sweep(const DeviceQueue& queue, const DeviceSweepArgs& args, char* message) {
  return on_device(queue, "searching for scales", message, [&] { return launch_search_of(args, queue.stream); });
}

Status code_amax(const DeviceQueue& queue, const DeviceCodeAmaxArgs& args, char* message) {
  return on_device(queue, "block amaxes", message, [&] {
    if (args.blocks == 0) return cudaSuccess;
    const CodeAmax kernel{args.codes, args.blocks, args.blocks / args.slices, args.normalization, args.amax, args.out, args.check};
    return launch(kernel, ceil_div(args.blocks, kernel.kThreads), queue.stream);
  });
}

}  // namespace nvfp4cal::cuda
