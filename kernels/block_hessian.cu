// Hessians that lie on the device: their checks, and the searches of single-level blocks with them.
#include "kernels/block_hessian.cuh"

#include "kernels/block_hessian.h"
#include "kernels/ops.h"
#include "kernels/status.h"
#include "kernels/sweep_device.cuh"

namespace nvfp4cal::cuda {

namespace {

BlockHessians hessians_in(const BlockSearchArgs& args, double* workspace) {
  const int64_t size = args.columns * args.x->last() * args.x->last();
  const bool admm = args.method == BlockMethod::kAdmm;
  double* const normalized = workspace + args.columns;
  return {args.hessians, args.columns, workspace, admm ? normalized : nullptr, admm ? normalized + size : nullptr};
}

template <int kBlock, bool kAdmm>
cudaError_t launch_scales(const BlockSearchArgs& args, const BlockHessians& hessians, const DeviceCheck* check, cudaStream_t stream) {
  const int64_t rows = args.x->elements() / kBlock / args.columns;
  const HessianBlockScales<kBlock, kAdmm> kernel{
      *args.x, rows, hessians, {args.n_outer, args.n_inner, args.from_optimal}, args.scales, {*args.quants}, {*args.dequant}, check};
  return launch(kernel, ceil_div(kernel.threads(), kernel.kThreads), stream);
}

template <int kBlock>
cudaError_t launch_method(const BlockSearchArgs& args, const BlockHessians& hessians, const DeviceCheck* check, cudaStream_t stream) {
  return args.method == BlockMethod::kAdmm ? launch_scales<kBlock, true>(args, hessians, check, stream)
                                           : launch_scales<kBlock, false>(args, hessians, check, stream);
}

cudaError_t launch_check(const DeviceHessianCheckArgs& args, cudaStream_t stream) {
  const int n = static_cast<int>(args.hessians->last());
  const cudaError_t error = launch(CheckHessians{*args.hessians, n, args.use, args.wide, args.check}, args.hessians->shape[0], stream);
  return error != cudaSuccess ? error : launch(CloseHessians{*args.hessians, n, args.use, args.check}, 1, stream);
}

}  // namespace

cudaError_t launch_block_hessians(const DeviceBlockSearchArgs& wanted, cudaStream_t stream) {
  const BlockSearchArgs& args = wanted.search;
  const int n = static_cast<int>(args.x->last());
  const BlockHessians hessians = hessians_in(args, wanted.workspace);
  cudaError_t error = launch_job(PrepareHessians{hessians, n, wanted.check}, args.columns, stream);
  // of all kinds only a singular one is left
  if (error == cudaSuccess && hessians.inverses) error = launch(CloseHessians{{}, n, HessianUse::kBlocks, wanted.check}, 1, stream);
  if (error != cudaSuccess) return error;
  return n == 16 ? launch_method<16>(args, hessians, wanted.check, stream) : launch_method<32>(args, hessians, wanted.check, stream);
}

int64_t block_search_workspace(const BlockSearchArgs& args) {
  if (!args.hessians) return 0;
  const int64_t n = args.x->last();
  return args.columns * (1 + (args.method == BlockMethod::kAdmm ? 2 * n * n : 0));
}

Status check_hessians(const DeviceQueue& queue, const DeviceHessianCheckArgs& args, char* message) {
  return on_device(queue, "checking Hessians", message, [&] { return launch_check(args, queue.stream); });
}

}  // namespace nvfp4cal::cuda
