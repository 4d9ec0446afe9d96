// Weights to NVFP4 under a full Hessian: rounding errors make up for each other. docs/gptq.md.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "calib/gptq_device.h"
#include "core/ops.h"

namespace nvfp4cal::calib {

class GptqSteps;
class Hessian;

// Where results go, beside x; all but packed and scales may be NULL.
struct GptqOutputs {
  uint8_t* packed = nullptr;
  uint8_t* scales = nullptr;
  float* global_scale = nullptr;  // [slices]
  float* used_amax = nullptr;     // [slices]
  const TensorView* decoded = nullptr;
};

inline constexpr char kGptq[] = "GPTQ";  // in messages

using GptqHessians = std::vector<std::unique_ptr<GptqHessian>>;  // one for all slices, or one a slice

class Gptq {
 public:
  static constexpr double kDamping = 0.02;  // unless set

  void set_execution(const Execution& execution) { execution_ = execution; }
  const Execution& execution() const { return execution_; }
  void set_damping(double fraction);
  void set_effort(int effort);
  void set_measure(int enable);

  // [cols, cols], or [slices, cols, cols]; cross: NULL, or the same shape. From a device they are copied to the host, on its default stream.
  void set_hessian(const TensorView& hessian, const TensorView* cross);
  void set_hessian(const Hessian& hessian, const TensorView* cross);

  // How many matrices weights are. Throws unless x is [rows, cols] or [slices, rows, cols] as the Hessians are.
  int64_t slices(const TensorView& x) const;
  // global_amax: empty, one, or one a slice.
  void quantize(const TensorView& x, std::vector<float> global_amax, const GptqOutputs& outputs, CUstream_st* stream = nullptr);
  // Of the last call, if it measured; else throws kNoData.
  const GptqObjectives& objectives() const;

  void reset();

 private:
  void require_no_hessian(const char* option) const;
  void check_matrix(const TensorView& matrix, const char* name) const;
  std::unique_ptr<GptqSteps> steps_for(const TensorView& x, CUstream_st* stream);

  Execution execution_ = Execution::process_default();
  double damping_ = kDamping;
  GptqEffort effort_ = GptqEffort::kDefault;
  bool measure_ = false;
  int64_t cols_ = 0;  // 0: no Hessian
  bool shifts_ = false;
  GptqHessians hessians_;
  GptqDeviceHessians device_hessians_;
  bool measured_ = false;
  GptqObjectives objectives_{};
};

}  // namespace nvfp4cal::calib
