#include "kernels/histogram.cuh"

#include "kernels/ops.h"
#include "kernels/status.h"

namespace nvfp4cal::cuda {

Status log2_histogram(const DeviceQueue& queue, const DeviceHistogramArgs& args, char* message) {
  return on_device(queue, "histogram", message, [&] {
    const TensorView& x = *args.x;
    const int64_t n = x.elements();
    if (n == 0) return cudaSuccess;
    // Rows of whole blocks are one row. Where they are not, blocks begin at any element and are read one by one.
    const bool whole = x.last() % args.block == 0;
    const int64_t cols = whole ? n : x.last(), per_row = ceil_div(cols, args.block);
    const auto start = [&](auto reader) {
      const Histogram<decltype(reader)> kernel{reader,     args.block, cols,        per_row,      n / cols * per_row,
                                               args.edges, args.bins,  args.counts, args.largest, args.check};
      return launch(kernel, kernel.thread_blocks(), queue.stream);
    };
    return whole ? with_reader(x, start) : start(AnyReader{x});
  });
}

}  // namespace nvfp4cal::cuda
