// The exact scale search as a calibrator: one collect between resets; the state is one code a block.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/block_hessian.h"

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

  void collect(const TensorView& x);

  // Throw kNoData before collect.
  const std::vector<int64_t>& shape() const;
  const std::vector<uint8_t>& codes() const;
  void write_amax(float* out) const;

  std::vector<uint8_t> export_state() const;
  void import_state(const uint8_t* bytes, size_t n);
  void reset();

 private:
  void require_no_data(const char* option) const;
  void read_hessian_state(StateReader& reader);

  Execution execution_ = Execution::process_default();
  SweepOptions options_;
  std::vector<float> global_amax_;
  std::vector<float> weights_;
  std::vector<int64_t> weights_shape_;
  BlockHessian hessian_;
  bool has_data_ = false;
  std::vector<int64_t> shape_;
  std::vector<uint8_t> codes_;
};

}  // namespace nvfp4cal::calib
