#include "core/tensor_view.h"

namespace nvfp4cal {

const char* dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::kI8: return "int8";
    case Dtype::kU8: return "uint8";
    case Dtype::kF16: return "float16";
    case Dtype::kF32: return "float32";
    case Dtype::kF64: return "float64";
    case Dtype::kBf16: return "bfloat16";
    case Dtype::kE4m3: return "float8_e4m3";
    case Dtype::kI64: return "int64";
  }
  return "an unknown dtype";
}

int64_t TensorView::elements() const {
  int64_t n = 1;
  for (int d = 0; d < ndim; ++d) n *= shape[d];
  return n;
}

std::string TensorView::shape_text() const {
  std::string text = "[";
  for (int d = 0; d < ndim; ++d) {
    if (d > 0) text += ", ";
    text += std::to_string(shape[d]);
  }
  text += ']';
  return text;
}

void set_contiguous_strides(TensorView& view) {
  int64_t step = 1;
  for (int d = view.ndim - 1; d >= 0; --d) {
    view.strides[d] = step;
    step *= view.shape[d];
  }
  view.contiguous = true;
}

TensorView make_view(const void* data, Dtype dtype, int ndim, const int64_t* shape) {
  TensorView view;
  view.data = const_cast<void*>(data);
  view.dtype = dtype;
  view.ndim = ndim;
  for (int d = 0; d < ndim; ++d) view.shape[d] = shape[d];
  set_contiguous_strides(view);
  return view;
}

}  // namespace nvfp4cal
