#include "kernels/blocks.cuh"

#include "kernels/block_hessian.h"
#include "kernels/ops.h"
#include "kernels/status.h"

namespace nvfp4cal::cuda {

namespace {

FloatOutput output_of(const TensorView* view) { return {view ? *view : TensorView()}; }

template <int kBlock>
cudaError_t launch_search(const DeviceBlockSearchArgs& wanted, cudaStream_t stream) {
  const BlockSearchArgs& args = wanted.search;
  const bool optimal = args.method == BlockMethod::kOptimal;
  const BlockScales<kBlock> kernel{
      *args.x,     args.x->elements() / kBlock, optimal, args.search_noise, args.scales, output_of(args.quants), output_of(args.dequant),
      wanted.check};
  return launch(kernel, ceil_div(kernel.blocks, kernel.kThreads), stream);
}

cudaError_t launch_apply(const DeviceBlockApplyArgs& args, cudaStream_t stream) {
  const int64_t elements = args.x->elements(), extent = args.x->last();
  if (args.errors) {
    const BlockErrors kernel{*args.x,
                             args.blocks,
                             extent,
                             args.scales,
                             args.scale_step,
                             args.wide ? static_cast<double*>(args.errors) : nullptr,
                             args.wide ? nullptr : static_cast<float*>(args.errors),
                             args.check};
    return launch(kernel, ceil_div(args.blocks, kernel.kThreads), stream);
  }
  const BlockApply kernel{*args.x,   elements, extent, args.scales, args.scale_step, output_of(args.quants), output_of(args.dequant),
                          args.check};
  return launch(kernel, ceil_div(elements, kernel.kThreads), stream);
}

}  // namespace

Status block_search(const DeviceQueue& queue, const DeviceBlockSearchArgs& args, char* message) {
  return on_device(queue, "scales of blocks", message, [&] {
    if (args.search.hessians) return launch_block_hessians(args, queue.stream);
    return args.search.x->last() == 16 ? launch_search<16>(args, queue.stream) : launch_search<32>(args, queue.stream);
  });
}

Status block_apply(const DeviceQueue& queue, const DeviceBlockApplyArgs& args, char* message) {
  return on_device(queue, "blocks with given scales", message, [&] { return launch_apply(args, queue.stream); });
}

}  // namespace nvfp4cal::cuda
