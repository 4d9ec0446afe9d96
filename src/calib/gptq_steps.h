// What a call of GPTQ consists of: by the CPU (gptq.cpp), or on a device (gptq_device.cpp).
#pragma once

#include <cstdint>
#include <vector>

#include "calib/one_call.h"
#include "core/ops.h"

namespace nvfp4cal::calib {

struct GptqOutputs;

class GptqSteps {
 public:
  GptqSteps() = default;
  GptqSteps(const GptqSteps&) = delete;
  virtual ~GptqSteps() = default;

  // Of each slice. Throws for elements that are not finite.
  virtual std::vector<float> amax(const TensorView& x, int64_t slices) = 0;
  // x, finite, moved by the cross term: float32, beside x, kept by this object.
  virtual TensorView shifted(const TensorView& x) = 0;
  // amax: one a slice.
  virtual GptqObjectives quantize(const TensorView& weights, const std::vector<float>& amax, bool measure, const GptqOutputs& outputs) = 0;
  // What else is wanted of a call, whose weights are x; outputs are complete when it returns.
  virtual void finish(const TensorView& x, const std::vector<float>& global_scale, const std::vector<float>& amax,
                      const GptqOutputs& outputs) = 0;
};

// Slice s of a tensor of three dimensions; a matrix is its only slice.
inline TensorView slice_of(const TensorView& x, int64_t s) {
  if (x.ndim < 3) return x;
  TensorView slice = x;
  slice.data = static_cast<char*>(x.data) + s * x.strides[0] * static_cast<int64_t>(dtype_size(x.dtype));
  slice.ndim = 2;
  for (int d = 0; d < 2; ++d) {
    slice.shape[d] = x.shape[d + 1];
    slice.strides[d] = x.strides[d + 1];
  }
  return slice;
}

// A contiguous tensor of x's shape and place, its last extent divided.
inline TensorView view_like(const TensorView& x, const void* data, Dtype dtype, int64_t divisor = 1) {
  TensorView view = make_view(data, dtype, x.ndim, x.shape);
  view.device_type = x.device_type;
  view.device_id = x.device_id;
  view.shape[x.ndim - 1] /= divisor;
  set_contiguous_strides(view);
  return view;
}

// Packed codes and scales of weights x.
inline Encoded encoded_of(const TensorView& x, const uint8_t* packed, const uint8_t* scales) {
  return Encoded(view_like(x, packed, Dtype::kU8, 2), view_like(x, scales, Dtype::kU8, 16));
}

}  // namespace nvfp4cal::calib
