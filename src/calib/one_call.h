// The functions that need no handle: quantize, decode, reorder.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/request.h"

namespace nvfp4cal::calib {

struct QuantizeOutputs {
  uint8_t* packed = nullptr;
  uint8_t* scales = nullptr;
  float* global_scale = nullptr;        // one a slice, may be NULL
  const TensorView* decoded = nullptr;  // instead of packed and scales: the decoded values
};

// block_amax: empty, or one a block (checked here). layout: of outputs.scales.
void quantize(const Execution& execution, SweepRequest& request, Method method, const std::vector<float>& block_amax, ScaleLayout layout,
              const QuantizeOutputs& outputs);

// Nibbles and scales that belong together. The views must outlive it.
struct Encoded {
  // Throws unless packed is bytes [..., cols / 2] and scales bytes [..., cols / 16 or 32].
  Encoded(const TensorView& packed_view, const TensorView& scales_view);

  TensorView packed, scales;
  int block;
  std::vector<int64_t> shape;  // [..., cols]
};

// Throws kNotFinite for NaN scale bytes, kInvalidArgument for a global scale that is not positive and finite. out is contiguous.
void dequantize(const Execution& execution, const Encoded& encoded, const std::vector<float>& global_scale, DecodeOrder order,
                const TensorView& out);

// [rows, k] or [stack, rows, k] as [stack, rows, k].
TensorView as_stack(const TensorView& scales);

// The shape of the swizzled scales of a [..., rows, cols] tensor: [..., tile bytes].
std::vector<int64_t> tiles_shape(const TensorView& linear_scales);

void swizzle(const Execution& execution, const TensorView& linear, uint8_t* tiles, bool to_tiles);

}  // namespace nvfp4cal::calib
