#include "hessian_sweep.h"

#include "hessian_sweep_search.cuh"
#include "kernels/check.cuh"
#include "sweep_device.cuh"
#include "sweep_launch.cuh"

namespace nvfp4cal::cuda {

namespace {

// One thread block a matrix.
struct BoundJob {
  static constexpr int kThreads = kMostBlock, kCtasPerSm = 1;
  using Shared = BoundWork;
  struct Lane {};
  const float* hessian;
  int block;
  const DeviceCheck* check;
  DeviceHessian* out;

  template <class Cta>
  NVFP4CAL_HD void operator()(Cta& cta, Shared& shared) const {
    if (!is_clean(*check)) return;  // those that are not finite have no bound; nothing is searched for
    BoundMaker<Cta> maker(cta, shared, block, out[cta.index()]);
    maker.run(hessian + static_cast<int64_t>(cta.index()) * block * block);
  }
};

template <Dtype kDtype>
cudaError_t launch_dtype(const HessianProblem& p, cudaStream_t stream) {
  return p.sweep.block == 16 ? launch_search<HessianSearch<kDtype, 16>, 128, 4>(p, stream)
                             : launch_search<HessianSearch<kDtype, 32>, 128, 2>(p, stream);
}

}  // namespace

size_t hessian_sweep_workspace(int64_t columns) { return static_cast<size_t>(columns) * sizeof(DeviceHessian); }

cudaError_t launch_hessian_sweep(const HessianSweepLaunch& launch, void* workspace, cudaStream_t stream, bool definition) {
  const SweepLaunch& sweep = launch.sweep;
  if (!is_sweep(sweep) || sweep.weights || launch.columns <= 0 || launch.columns >= kMaxUnits ||
      sweep.blocks_per_slice % launch.columns != 0)
    return cudaErrorInvalidValue;
  cudaError_t error = clear_findings(sweep, stream);
  if (error != cudaSuccess || sweep.slices <= 0 || sweep.blocks_per_slice <= 0) return error;
  DeviceHessian* const hessians = static_cast<DeviceHessian*>(workspace);
  error = launch_job(BoundJob{launch.hessian, sweep.block, launch.check, hessians}, launch.columns, stream);
  if (error != cudaSuccess) return error;
  const HessianProblem p{problem_of(sweep), hessians, launch.columns, definition};
  switch (sweep.dtype) {
    case Dtype::kF32: return launch_dtype<Dtype::kF32>(p, stream);
    case Dtype::kBf16: return launch_dtype<Dtype::kBf16>(p, stream);
    default: return launch_dtype<Dtype::kF16>(p, stream);
  }
}

}  // namespace nvfp4cal::cuda
