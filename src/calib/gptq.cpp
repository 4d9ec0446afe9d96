#include "calib/gptq.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "calib/gptq_steps.h"
#include "calib/hessian.h"
#include "calib/host_copy.h"
#include "calib/request.h"
#include "core/backends.h"
#include "num/scale.h"

namespace nvfp4cal::calib {

namespace {

constexpr int kBlock = 16;
constexpr int64_t kMostColumns = int64_t{1} << 24;
// Weights this many times the global amax leave squares of their errors far inside float32.
constexpr float kMostClipping = 1024.0f;

// The CPU's.
class HostSteps : public GptqSteps {
 public:
  HostSteps(const Execution& execution, const GptqHessians& hessians) : execution_(execution), hessians_(hessians) {}

  std::vector<float> amax(const TensorView& x, int64_t slices) override {
    std::vector<float> amax(static_cast<size_t>(slices));
    if (x.elements() == 0) return amax;
    AmaxArgs args{&x, {}, slices, 0, amax.data()};
    if (x.ndim == 3) args.group_strides[0] = 1;
    call(ops_for(x).amax, execution_, args);
    return amax;
  }

  TensorView shifted(const TensorView& x) override {
    const int64_t slices = x.ndim == 3 ? x.shape[0] : 1;
    moved_.resize(static_cast<size_t>(x.elements()));
    for (int64_t s = 0; s < slices && !moved_.empty(); ++s) {
      const TensorView weights = slice_of(x, s);
      const GptqShiftArgs args{hessian_of(s), &weights, moved_.data() + s * (x.elements() / slices)};
      call(ops_for(x).gptq_shift, execution_, args);
    }
    return view_like(x, moved_.data(), Dtype::kF32);
  }

  GptqObjectives quantize(const TensorView& weights, const std::vector<float>& amax, bool measure, const GptqOutputs& outputs) override {
    const int64_t count = static_cast<int64_t>(amax.size()), elements = count > 0 ? weights.elements() / count : 0;
    GptqObjectives sum{};
    for (int64_t s = 0; s < count && elements > 0; ++s) {
      uint8_t* const packed = outputs.packed + s * elements / 2;
      uint8_t* const codes = outputs.scales + s * elements / kBlock;
      const float global_amax = amax[static_cast<size_t>(s)];
      if (global_amax == 0.0f) {
        std::fill_n(packed, elements / 2, uint8_t{0});
        std::fill_n(codes, elements / kBlock, num::kE4m3One);
        continue;
      }
      const TensorView slice = slice_of(weights, s);
      GptqObjectives part{};
      const GptqArgs args{hessian_of(s), &slice, global_amax, packed, codes, measure ? &part : nullptr};
      call(ops_for(weights).gptq, execution_, args);
      sum.nearest += part.nearest;
      sum.rounding += part.rounding;
      sum.descent += part.descent;
      sum.neighbourhood += part.neighbourhood;
    }
    return sum;
  }

  void finish(const TensorView& x, const std::vector<float>& global_scale, const std::vector<float>& amax,
              const GptqOutputs& outputs) override {
    if (outputs.global_scale) std::copy(global_scale.begin(), global_scale.end(), outputs.global_scale);
    if (outputs.used_amax) std::copy(amax.begin(), amax.end(), outputs.used_amax);
    if (!outputs.decoded || x.elements() == 0) return;
    dequantize(execution_, encoded_of(x, outputs.packed, outputs.scales), global_scale, DecodeOrder::kModelopt, *outputs.decoded);
  }

 private:
  const GptqHessian* hessian_of(int64_t slice) const { return hessians_[hessians_.size() > 1 ? static_cast<size_t>(slice) : 0].get(); }

  const Execution& execution_;
  const GptqHessians& hessians_;
  std::vector<float> moved_;
};

// The amax of each slice that its global scale is for: what was given, one for all or one a slice, else what was found.
std::vector<float> chosen_amax(std::vector<float> given, std::vector<float> found) {
  if (given.empty()) return found;
  if (given.size() == 1) given.resize(found.size(), given[0]);
  for (size_t s = 0; s < given.size(); ++s) {
    const double amax = static_cast<double>(given[s]), weights = static_cast<double>(found[s]);
    if (amax == 0.0 && weights > 0.0)
      fail(Status::kInvalidArgument, "global_amax[%zu] is 0 but the weights have magnitudes up to %g there", s, weights);
    if (found[s] / kMostClipping > given[s])
      fail(Status::kInvalidArgument, "global_amax[%zu] is %g, less than the weights' amax %g / 1024", s, amax, weights);
  }
  return given;
}

// 1 where the amax is 0.
std::vector<float> global_scales_of(const std::vector<float>& amax) {
  std::vector<float> scales;
  scales.reserve(amax.size());
  for (const float one : amax) {
    scales.push_back(one > 0.0f ? num::global_scale(one, num::kNormalization) : 1.0f);
    if (scales.back() == 0.0f)
      fail(Status::kInvalidArgument, "the global amax %g has a global scale of 0 in float32", static_cast<double>(one));
  }
  return scales;
}

}  // namespace

void Gptq::require_no_hessian(const char* option) const {
  if (cols_ > 0) fail(Status::kWrongState, "%s after the Hessian was set: reset first", option);
}

void Gptq::set_damping(double fraction) {
  require_no_hessian("set_damping");
  if (!(fraction >= 0) || !std::isfinite(fraction)) fail(Status::kInvalidArgument, "damping %g, expected 0 or more", fraction);
  damping_ = fraction;
}

void Gptq::set_effort(int effort) {
  require_no_hessian("set_effort");
  if (effort < 0 || effort > static_cast<int>(GptqEffort::kMax)) fail(Status::kInvalidArgument, "effort %d is not known", effort);
  effort_ = static_cast<GptqEffort>(effort);
}

void Gptq::set_measure(int enable) {
  if (enable != 0 && enable != 1) fail(Status::kInvalidArgument, "enable is %d, expected 0 or 1", enable);
  measure_ = enable == 1;
}

void Gptq::check_matrix(const TensorView& matrix, const char* name) const {
  if (!is_float_input(matrix.dtype))
    fail(Status::kUnsupported, "%s is %s, expected float32, bfloat16, float16 or float64", name, dtype_name(matrix.dtype));
  const bool square = (matrix.ndim == 2 || matrix.ndim == 3) && matrix.shape[matrix.ndim - 2] == matrix.last();
  if (!square || matrix.elements() == 0)
    fail(Status::kInvalidArgument, "%s of shape %s, expected [cols, cols] or [slices, cols, cols]", name, matrix.shape_text().c_str());
  if (matrix.last() % kBlock != 0) fail(Status::kInvalidArgument, "cols %lld is not a multiple of %d", ll(matrix.last()), kBlock);
  if (matrix.last() > kMostColumns) fail(Status::kOutOfMemory, "matrices of %lld columns do not fit into memory", ll(matrix.last()));
}

void Gptq::set_hessian(const TensorView& hessian, const TensorView* cross) {
  require_no_hessian("set_hessian");
  check_matrix(hessian, "hessian");
  if (cross) {
    check_matrix(*cross, "cross");
    const bool same = cross->ndim == hessian.ndim && std::equal(cross->shape, cross->shape + cross->ndim, hessian.shape);
    if (!same) {
      fail(Status::kInvalidArgument, "cross of shape %s for a hessian of shape %s", cross->shape_text().c_str(),
           hessian.shape_text().c_str());
    }
  }
  const int64_t count = hessian.ndim == 3 ? hessian.shape[0] : 1;
  std::vector<std::unique_ptr<GptqHessian>> made(static_cast<size_t>(count));
  for (int64_t s = 0; s < count; ++s) {
    const HostCopy matrix(slice_of(hessian, s), "hessian", kGptq, execution_, nullptr);
    std::optional<HostCopy> cross_matrix;
    if (cross) cross_matrix.emplace(slice_of(*cross, s), "cross", kGptq, execution_, nullptr);
    const GptqPrepareArgs args{hessian.last(),
                               &matrix.view(),
                               nullptr,
                               cross_matrix ? &cross_matrix->view() : nullptr,
                               damping_,
                               effort_,
                               &made[static_cast<size_t>(s)]};
    try {
      call(ops_for(matrix.view()).gptq_prepare, execution_, args);
    } catch (const Error& error) {
      if (count == 1) throw;
      fail(error.status(), "slice %lld: %s", ll(s), error.what());
    }
  }
  hessians_ = std::move(made);
  cols_ = hessian.last();
  shifts_ = cross != nullptr;
}

void Gptq::set_hessian(const Hessian& hessian, const TensorView* cross) {
  require_no_hessian("set_hessian");
  const double* const sums = hessian.full_sums();
  const int64_t cols = hessian.cols(), shape[2] = {cols, cols};
  if (cols % kBlock != 0) fail(Status::kInvalidArgument, "cols %lld is not a multiple of %d", ll(cols), kBlock);
  if (cross) {
    check_matrix(*cross, "cross");
    if (cross->ndim != 2 || cross->last() != cols)
      fail(Status::kInvalidArgument, "cross of shape %s for a hessian of %lld columns", cross->shape_text().c_str(), ll(cols));
  }
  std::unique_ptr<GptqHessian> made;
  std::optional<HostCopy> cross_matrix;
  if (cross) cross_matrix.emplace(*cross, "cross", kGptq, execution_, nullptr);
  const GptqPrepareArgs args{cols, nullptr, sums, cross_matrix ? &cross_matrix->view() : nullptr, damping_, effort_, &made};
  call(ops_for(make_view(sums, Dtype::kF64, 2, shape)).gptq_prepare, execution_, args);
  hessians_.clear();
  hessians_.push_back(std::move(made));
  cols_ = cols;
  shifts_ = cross != nullptr;
}

int64_t Gptq::slices(const TensorView& x) const {
  if (cols_ == 0) fail(Status::kNoData, "no Hessian has been set");
  if (!is_float_input(x.dtype)) fail(Status::kUnsupported, "x is %s, expected float32, bfloat16, float16 or float64", dtype_name(x.dtype));
  if ((x.ndim != 2 && x.ndim != 3) || x.last() != cols_)
    fail(Status::kInvalidArgument, "x of shape %s, expected [rows, %lld] or [slices, rows, %lld]", x.shape_text().c_str(), ll(cols_),
         ll(cols_));
  const int64_t slices = x.ndim == 3 ? x.shape[0] : 1, hessians = static_cast<int64_t>(hessians_.size());
  if (hessians > 1 && (x.ndim != 3 || slices != hessians))
    fail(Status::kInvalidArgument, "x of shape %s for %lld Hessians", x.shape_text().c_str(), ll(hessians));
  return slices;
}

std::unique_ptr<GptqSteps> Gptq::steps_for(const TensorView& x, CUstream_st* stream) {
  if (!x.on_device()) return std::make_unique<HostSteps>(execution_, hessians_);
  const Device device = device_of(x, "x", execution_, stream);
  device.refuse_capture(kGptq);
  device_hessians_.prepare(device, hessians_);
  return gptq_steps_on_device(device, hessians_, device_hessians_, effort_);
}

void Gptq::quantize(const TensorView& x, std::vector<float> global_amax, const GptqOutputs& outputs, CUstream_st* stream) {
  const int64_t count = slices(x);
  check_amaxes(global_amax, "global_amax");
  if (global_amax.size() > 1 && static_cast<int64_t>(global_amax.size()) != count)
    fail(Status::kInvalidArgument, "global_amax has %zu elements, expected 1 or %lld", global_amax.size(), ll(count));
  measured_ = false;
  const std::unique_ptr<GptqSteps> steps = steps_for(x, stream);
  std::vector<float> found = steps->amax(x, count);
  TensorView weights = x;
  if (shifts_) {
    weights = steps->shifted(x);
    try {
      found = steps->amax(weights, count);
    } catch (const Error& error) {
      fail(error.status(), "moved by the cross term, %s", error.what());
    }
  }
  const std::vector<float> amax = chosen_amax(std::move(global_amax), std::move(found)), scales = global_scales_of(amax);
  objectives_ = steps->quantize(weights, amax, measure_, outputs);
  steps->finish(x, scales, amax, outputs);
  measured_ = measure_;
}

const GptqObjectives& Gptq::objectives() const {
  if (!measured_) fail(Status::kNoData, "no data: the last call of quantize has not measured its objectives");
  return objectives_;
}

void Gptq::reset() {
  cols_ = 0;
  hessians_.clear();
  device_hessians_.drop();
  measured_ = shifts_ = false;
}

}  // namespace nvfp4cal::calib
