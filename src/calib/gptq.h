// Weights to NVFP4 under a full Hessian: rounding errors make up for each other. docs/gptq.md.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/ops.h"

namespace nvfp4cal::calib {

class Hessian;

// Where results go; all but packed and scales may be NULL.
struct GptqOutputs {
  uint8_t* packed = nullptr;
  uint8_t* scales = nullptr;
  float* global_scale = nullptr;  // [slices]
  float* used_amax = nullptr;     // [slices]
  const TensorView* decoded = nullptr;
};

class Gptq {
 public:
  static constexpr double kDamping = 0.02;  // unless set

  void set_execution(const Execution& execution) { execution_ = execution; }
  void set_damping(double fraction);
  void set_effort(int effort);
  void set_measure(int enable);

  // [cols, cols], or [slices, cols, cols]; cross: NULL, or the same shape.
  void set_hessian(const TensorView& hessian, const TensorView* cross);
  void set_hessian(const Hessian& hessian, const TensorView* cross);

  // How many matrices weights are. Throws unless x is [rows, cols] or [slices, rows, cols] as the Hessians are.
  int64_t slices(const TensorView& x) const;
  // global_amax: empty, one, or one a slice.
  void quantize(const TensorView& x, std::vector<float> global_amax, const GptqOutputs& outputs);
  // Of the last call that measured; throws kNoData.
  const GptqObjectives& objectives() const;

  void reset();

 private:
  void require_no_hessian(const char* option) const;
  void check_matrix(const TensorView& matrix, const char* name) const;
  std::vector<float> shifted(const TensorView& x) const;
  GptqObjectives quantize_slices(const TensorView& weights, const std::vector<float>& amax, const GptqOutputs& outputs) const;
  void decode(const TensorView& x, const std::vector<float>& global_scale, const GptqOutputs& outputs) const;
  const GptqHessian* hessian_of(int64_t slice) const;

  Execution execution_ = Execution::process_default();
  double damping_ = kDamping;
  GptqEffort effort_ = GptqEffort::kDefault;
  bool measure_ = false;
  int64_t cols_ = 0;  // 0: no Hessian
  bool shifts_ = false;
  std::vector<std::unique_ptr<GptqHessian>> hessians_;
  bool measured_ = false;
  GptqObjectives objectives_{};
};

}  // namespace nvfp4cal::calib
