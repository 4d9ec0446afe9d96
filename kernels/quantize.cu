// Quantizing, decoding and reordering scales.
#include "kernels/quantize.cuh"

#include "kernels/ops.h"
#include "kernels/status.h"

namespace nvfp4cal::cuda {

namespace {

template <class Kernel>
cudaError_t launch_over(const Kernel& kernel, int64_t items, cudaStream_t stream) {
  return launch(kernel, ceil_div(items, Kernel::kThreads), stream);
}

bool is_aligned(const void* packed, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(packed) % bytes == 0; }

template <int kBlock, class Writer>
cudaError_t launch_with(const DeviceQuantizeArgs& args, const Writer& writer, cudaStream_t stream) {
  const int64_t blocks = args.x->elements() / kBlock;
  if (blocks == 0) return cudaSuccess;
  return with_reader(*args.x, [&](auto reader) {
    const Quantize<decltype(reader), Writer, kBlock> kernel{
        reader,      blocks, args.slices, blocks / args.slices, args.normalization, args.amax, args.scale, args.block_amax, args.codes,
        args.scales, writer, args.check};
    return launch_over(kernel, blocks, stream);
  });
}

template <int kBlock>
cudaError_t launch_quantize(const DeviceQuantizeArgs& args, cudaStream_t stream) {
  if (args.decoded) return launch_with<kBlock>(args, DecodedWriter<kBlock>{Output(*args.decoded)}, stream);
  return launch_with<kBlock>(args, NibbleWriter<kBlock>{args.packed, is_aligned(args.packed, 8)}, stream);
}

cudaError_t launch_dequantize(const DeviceDequantizeArgs& args, cudaStream_t stream) {
  const int64_t scales = args.scales->elements(), elements = args.out->elements();
  cudaError_t error = launch_over(CheckScales{*args.scales, scales, args.check}, scales, stream);
  if (error == cudaSuccess) error = launch(CloseScales{*args.scales, args.global_scale, args.slices, args.check}, 1, stream);
  if (error != cudaSuccess || elements == 0) return error;
  const Dequantize kernel{*args.packed,
                          *args.scales,
                          args.packed->contiguous && is_aligned(args.packed->data, 8),
                          args.block,
                          elements,
                          args.slices,
                          elements / args.slices,
                          args.global_scale,
                          args.order,
                          Output(*args.out),
                          args.check};
  return launch_over(kernel, ceil_div(elements, Dequantize::kElements), stream);
}

}  // namespace

Status check_amaxes(const DeviceQueue& queue, const DeviceAmaxCheckArgs& args, char* message) {
  return on_device(queue, "checking amaxes", message, [&] {
    const cudaError_t error = launch_over(CheckAmaxes{args.amax, args.count, args.check}, args.count, queue.stream);
    return error != cudaSuccess ? error : launch(CloseAmaxes{args.amax, args.is_scale, args.check}, 1, queue.stream);
  });
}

Status quantize(const DeviceQueue& queue, const DeviceQuantizeArgs& args, char* message) {
  if (!is_aligned(args.packed, 4)) {  // what the kernel writes at a time
    std::snprintf(message, kMessageSize, "packed.data is %p, not aligned to 4 bytes as kernels write it", static_cast<void*>(args.packed));
    return Status::kUnsupported;
  }
  return on_device(queue, "quantizing", message,
                   [&] { return args.block == 16 ? launch_quantize<16>(args, queue.stream) : launch_quantize<32>(args, queue.stream); });
}

Status dequantize(const DeviceQueue& queue, const DeviceDequantizeArgs& args, char* message) {
  return on_device(queue, "decoding", message, [&] { return launch_dequantize(args, queue.stream); });
}

Status swizzle(const DeviceQueue& queue, const DeviceSwizzleArgs& args, char* message) {
  const SwizzleArgs& wanted = args.swizzle;
  return on_device(queue, "reordering scales", message, [&] {
    Swizzle kernel{*wanted.linear, wanted.tiles, wanted.to_tiles, 0, args.check};
    kernel.count = wanted.to_tiles ? wanted.linear->shape[0] * kernel.padded_rows() * kernel.padded_columns() : wanted.linear->elements();
    return launch_over(kernel, kernel.count, queue.stream);
  });
}

}  // namespace nvfp4cal::cuda
