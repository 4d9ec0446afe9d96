// The exact scale search as a calibrator: one collect between resets; the state is one code a block.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/block_hessian.h"
#include "calib/functions.h"
#include "core/device.h"

namespace nvfp4cal::calib {

class StateReader;

class Sweep {
 public:
  void set_execution(const Execution& execution) { execution_ = execution; }
  void set_block_size(int block);
  void set_normalization(int normalization);
  void set_window(int lo, int hi);
  void set_global_amax(std::vector<float> global_amax);
  // NULL: none. Copied as float32.
  void set_weights(const TensorView* weights);
  // NULL: none. Copied.
  void set_hessian(const TensorView* hessian);
  // NULL: none. Copied as float32: the shape of the results.
  void set_initial_amax(const TensorView* amax);
  // Empty: the library's own.
  void set_quantize_function(QuantizeFunction function);
  void set_error_function(ErrorFunction function, ErrorValues values);

  void collect(const TensorView& x, CUstream_st* stream);

  // Throw kNoData where none has been set.
  const std::vector<float>& initial_amax() const;
  const std::vector<int64_t>& initial_amax_shape() const;

  // Throw kNoData before collect.
  const std::vector<int64_t>& shape() const;
  const std::vector<uint8_t>& codes() const;
  void write_amax(float* out) const;

  std::vector<uint8_t> export_state() const;
  void import_state(const uint8_t* bytes, size_t n);
  void reset();

 private:
  void require_no_data(const char* option) const;
  void require_ready() const;
  std::vector<int64_t> result_shape(const TensorView& x) const;
  void collect_on_device(const Device& device, const TensorView& x);
  void search(const SweepRequest& request, const std::vector<int64_t>& shape, uint8_t* codes) const;
  void read_weights_state(StateReader& reader);
  void read_hessian_state(StateReader& reader);
  void read_functions_state(StateReader& reader);
  void read_result_state(StateReader& reader);

  Execution execution_ = Execution::process_default();
  SweepOptions options_;
  std::vector<float> global_amax_;
  std::vector<float> weights_;
  std::vector<int64_t> weights_shape_;
  BlockHessian hessian_;
  bool has_initial_amax_ = false;
  std::vector<int64_t> initial_amax_shape_;
  std::vector<float> initial_amax_;
  // Whether a function is used is an option; the function itself is no part of a state.
  bool uses_quantize_ = false, uses_error_ = false;
  QuantizeFunction quantize_;
  ErrorFunction error_;
  bool has_data_ = false;
  std::vector<int64_t> shape_;
  std::vector<uint8_t> codes_;
};

}  // namespace nvfp4cal::calib
