#include "sweep.h"

#include "sweep_device.cuh"
#include "sweep_filter.cuh"
#include "sweep_launch.cuh"
#include "sweep_table.cuh"
#include "sweep_weighted.cuh"

namespace nvfp4cal::cuda {

namespace {

template <Dtype kDtype, int kBlock, bool kWeighted, class Search>
cudaError_t launch_with(const SweepProblem& p, cudaStream_t stream) {
  constexpr int kCtasPerSm = kBlock == 16 && !kWeighted ? 4 : 2;  // what their registers allow without spills
  return launch_search<LaneSearch<BlockSearch<kDtype, kBlock, kWeighted, Search>>, 256, kCtasPerSm>(p, stream);
}

constexpr int kTableThreads = 1024;  // one thread block a processor: its shared memory holds one table
using Table = TableSearch<kTableThreads>;

// Whether the table filter applies and fits into the device's shared memory.
bool takes_table(const SweepProblem& p, bool definition) {
  constexpr int64_t kMostUnits = kMaxUnits / 16;  // whose blocks the table's queues can number
  if (definition || p.dtype != Dtype::kBf16 || p.block != 16 || p.weights || !is_aligned(p.x) || units_per_slice(p) > kMostUnits)
    return false;
  int device = 0, most = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess &&
         static_cast<size_t>(most) >= sizeof(Table::Shared);
}

template <Dtype kDtype, int kBlock>
cudaError_t launch_block(const SweepProblem& p, cudaStream_t stream, bool definition) {
  if (definition) {
    return p.weights ? launch_with<kDtype, kBlock, true, ExactSearch<kBlock>>(p, stream)
                     : launch_with<kDtype, kBlock, false, ExactSearch<kBlock>>(p, stream);
  }
  return p.weights ? launch_with<kDtype, kBlock, true, WeightedSearch<kBlock>>(p, stream)
                   : launch_with<kDtype, kBlock, false, FilterSearch<kBlock>>(p, stream);
}

template <Dtype kDtype>
cudaError_t launch_dtype(const SweepProblem& p, cudaStream_t stream, bool definition) {
  return p.block == 16 ? launch_block<kDtype, 16>(p, stream, definition) : launch_block<kDtype, 32>(p, stream, definition);
}

}  // namespace

cudaError_t launch_sweep(const SweepLaunch& launch, cudaStream_t stream, bool definition) {
  if (!is_sweep(launch)) return cudaErrorInvalidValue;
  const cudaError_t error = clear_findings(launch, stream);
  if (error != cudaSuccess || launch.slices <= 0 || launch.blocks_per_slice <= 0) return error;
  const SweepProblem p = problem_of(launch);
  definition = definition || launch.has_window;  // few codes: no filter pays
  if (takes_table(p, definition)) return launch_search<Table, kTableThreads, 1>(p, stream);
  switch (launch.dtype) {
    case Dtype::kF32: return launch_dtype<Dtype::kF32>(p, stream, definition);
    case Dtype::kBf16: return launch_dtype<Dtype::kBf16>(p, stream, definition);
    default: return launch_dtype<Dtype::kF16>(p, stream, definition);
  }
}

}  // namespace nvfp4cal::cuda
