// A checked search or quantization: what the calibrator and the one-call functions share between their arguments and the backend.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/ops.h"

namespace nvfp4cal::calib {

struct SweepOptions {
  int block = 16;
  int normalization = 448;
  bool has_window = false;
  int window_lo = -126, window_hi = 126;
};

// Throw kInvalidArgument naming the value.
void check_block_size(int block);
void check_normalization(int normalization);
void check_window(int lo, int hi);

// Amaxes are finite and >= 0; throws naming the first that is not. `name` is the tensor's in messages.
void check_amaxes(const std::vector<float>& values, const char* name);

// Elements of a float32 view; `name` is the tensor's in messages.
std::vector<float> read_float32(const TensorView& view, const char* name);

// Global amaxes: finite and >= 0.
std::vector<float> read_global_amax(const TensorView& view);

// Throws unless x is a float tensor made of whole blocks.
void check_blocks(const TensorView& x, int block);
// Throws unless rows are made of whole blocks.
void check_columns(const TensorView& x, int block);

// x.shape[:-1] + [cols / block], or [blocks] where blocks cross rows.
std::vector<int64_t> block_shape(const TensorView& x, int block);

// Throws unless weights is a float tensor of x's shape or of its last dimension.
void check_weights_shape(const TensorView& x, const TensorView& weights, int block);

class SweepRequest {
 public:
  // global_amax: one value or one a slice of x's first dimension; empty: found from x. weights: NULL or a float tensor. Views must outlive the request.
  SweepRequest(const Execution& execution, const TensorView& x, std::vector<float> global_amax, const TensorView* weights,
               const SweepOptions& options);
  SweepRequest(const SweepRequest&) = delete;

  SweepArgs args{};
  int64_t blocks() const { return args.x->elements() / args.block; }
  int64_t blocks_per_slice() const { return blocks() / args.slices; }
  const std::vector<float>& global_amax() const { return global_amax_; }
  bool amax_was_found() const { return amax_was_found_; }

 private:
  void set_slices();
  void check_zero_slices(const Execution& execution) const;

  std::vector<float> global_amax_;
  bool amax_was_found_ = false;
};

// Block amaxes of codes, float32 at any alignment; 0 where the slice's global amax is 0.
void amax_of_codes(const Execution& execution, const uint8_t* codes, int64_t blocks, const std::vector<float>& global_amax,
                   float normalization, void* out);

}  // namespace nvfp4cal::calib
