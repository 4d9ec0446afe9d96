// X^T X of activations: what weighs the errors of a layer's weights. The state is float64 sums and the number of rows.
#pragma once

#include <cstdint>
#include <vector>

#include "core/hessian_layout.h"
#include "calib/device_state.h"
#include "core/parallel.h"
#include "core/tensor_view.h"

namespace nvfp4cal::calib {

class Hessian {
 public:
  void set_execution(const Execution& execution) { execution_ = execution; }
  void set_layout(int layout);
  void set_block_size(int block);
  void set_normalize(int enable);
  void set_damping(double fraction);

  // Tensors on a device: as Max::collect.
  void collect(const TensorView& x, CUstream_st* stream);
  // As Max::settle.
  void settle();
  // 0 before the first collect.
  int64_t rows() const { return static_cast<int64_t>(rows_[0]); }

  // Of the result; throws kNoData before the first collect.
  std::vector<int64_t> shape() const;
  // Float32, shape(). Throws kNotFinite for a value beyond float32, when some of out may have been written.
  void compute(float* out) const;

  // The sums, as they lie (core/hessian_layout.h), and their shape; the number of rows.
  std::vector<double>& mutable_sums();
  std::vector<int64_t> sums_shape() const;
  std::vector<double>& mutable_rows();

  // A full Hessian's sums and columns; throws kInvalidArgument for another layout, kNoData before the first collect.
  const double* full_sums() const;
  int64_t cols() const { return cols_; }

  void merge(const Hessian& other);
  std::vector<uint8_t> export_state() const;
  void import_state(const uint8_t* bytes, size_t n);
  // Columns of a full Hessian, from the first kHeadBytes of its state; throws as import_state and full_sums, as far as that shows.
  static constexpr size_t kHeadBytes = 64;
  static int64_t full_columns(const uint8_t* head, size_t n);
  void reset();

 private:
  void require_no_data(const char* option) const;
  void require_data() const;
  void collect_on_device(const Device& device, const TensorView& x);
  void write_full(double divisor, double damp, float* out) const;

  Execution execution_ = Execution::process_default();
  HessianLayout layout_ = HessianLayout::kBlocks;
  int block_ = 16;
  bool normalize_ = false;
  double damping_ = 0.0;
  int64_t cols_ = 0;  // 0: no data
  std::vector<double> sums_;
  std::vector<double> rows_ = std::vector<double>(1);  // float64, so that processes reduce it as they do the sums
  DeviceState device_;                                 // sums, of the same layout
};

}  // namespace nvfp4cal::calib
