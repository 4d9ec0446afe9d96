#include "kernels/losses.cuh"

#include <algorithm>

#include "kernels/ops.h"
#include "kernels/status.h"

namespace nvfp4cal::cuda {

namespace {

// Where x's elements belong, and how they are cut: by the shape alone, so that sums are the same on every device.
struct Cut {
  Axes kept{}, reduced{};
  int64_t per_channel = 1, width = 1, parts = 0, size = 0;
};

Cut cut_of(const MultiplierLossesArgs& args) {
  const TensorView& x = *args.x;
  Cut cut;
  int64_t flat_step[kMaxNdim], step = 1;
  for (int d = x.ndim - 1; d >= 0; --d) {
    flat_step[d] = step;
    step *= x.shape[d];
  }
  bool is_last_kept = false;
  for (int d = 0; d < x.ndim; ++d) {
    if (x.shape[d] == 1) continue;
    is_last_kept = args.channel_strides[d] != 0;
    Axes& axes = is_last_kept ? cut.kept : cut.reduced;
    axes.extents[axes.count] = x.shape[d];
    axes.flat_steps[axes.count] = flat_step[d];
    axes.amax_steps[axes.count] = args.amax.strides[d];
    ++axes.count;
    if (!is_last_kept) cut.per_channel *= x.shape[d];
  }
  // Neighbouring threads read neighbouring elements: of one channel, or of neighbouring ones.
  while (!is_last_kept && cut.width < 32 && cut.width * 64 < cut.per_channel) cut.width *= 2;
  constexpr int64_t kElements = Losses<num::IntQuantizer, SquaredError>::kElements;
  cut.parts = ceil_div(cut.per_channel, cut.width * kElements) * cut.width;
  cut.size = args.multiplier_count * args.channels;
  return cut;
}

template <class Quantizer, class Error>
cudaError_t launch_error(const DeviceLossesArgs& args, const Cut& cut, const Quantizer& quantizer, const Error& measure,
                         cudaStream_t stream) {
  const MultiplierLossesArgs& wanted = args.losses;
  const Losses<Quantizer, Error> kernel{*wanted.x,       quantizer,      cut.kept,         cut.reduced,        wanted.channels,
                                        cut.per_channel, cut.width,      wanted.amax.amax, wanted.multipliers, wanted.multiplier_count,
                                        measure,         args.workspace, args.check};
  cudaError_t error = launch(kernel, ceil_div(kernel.threads(), kernel.kThreads) * kernel.tiles(), stream);
  double* from = args.workspace;
  for (int64_t count = cut.parts; error == cudaSuccess;) {
    const int64_t groups = ceil_div(count, JoinLosses::kGroup);
    double* const to = groups == 1 ? wanted.losses : from + count * cut.size;
    error = launch(JoinLosses{from, count, cut.size, to}, ceil_div(groups * cut.size, JoinLosses::kThreads), stream);
    if (groups == 1) break;
    from = to;
    count = groups;
  }
  return error;
}

template <class Quantizer>
cudaError_t launch_losses(const DeviceLossesArgs& args, const Cut& cut, const Quantizer& quantizer, cudaStream_t stream) {
  switch (args.losses.error) {
    case ErrorKind::kAbsolute: return launch_error(args, cut, quantizer, AbsoluteError(), stream);
    case ErrorKind::kPower: return launch_error(args, cut, quantizer, PowerError{args.losses.power}, stream);
    default: return launch_error(args, cut, quantizer, SquaredError(), stream);
  }
}

cudaError_t launch_format(const DeviceLossesArgs& args, cudaStream_t stream) {
  const Cut cut = cut_of(args.losses);
  const AmaxQuantizer& q = *args.losses.quantizer;
  switch (q.format) {
    case AmaxFormat::kInt: return launch_losses(args, cut, num::IntQuantizer{q.lo, q.hi}, stream);
    case AmaxFormat::kE4m3: return launch_losses(args, cut, num::FloatQuantizer<num::e4m3_round>{num::kE4m3Max}, stream);
    case AmaxFormat::kE5m2: return launch_losses(args, cut, num::FloatQuantizer<num::e5m2_round>{num::kE5m2Max}, stream);
    case AmaxFormat::kE2m1: return launch_losses(args, cut, num::FloatQuantizer<num::e2m1_round_signed>{6.0f}, stream);
    default: return launch_losses(args, cut, num::Nvfp4Quantizer{q.global_amax}, stream);
  }
}

}  // namespace

// The parts, and the levels of joining them but the last.
int64_t losses_workspace(const DeviceLossesArgs& args) {
  const Cut cut = cut_of(args.losses);
  int64_t parts = cut.parts;
  for (int64_t count = cut.parts; count > JoinLosses::kGroup;) {
    count = ceil_div(count, JoinLosses::kGroup);
    parts += count;
  }
  return parts * cut.size;
}

Status multiplier_losses(const DeviceQueue& queue, const DeviceLossesArgs& args, char* message) {
  return on_device(queue, "losses", message, [&] { return launch_format(args, queue.stream); });
}

}  // namespace nvfp4cal::cuda
