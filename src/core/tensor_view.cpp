#include "core/tensor_view.h"

#include <algorithm>

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

bool overlap(const TensorView& contiguous, const TensorView& any) {
  if (contiguous.elements() == 0 || any.elements() == 0) return false;
  const uintptr_t low = reinterpret_cast<uintptr_t>(contiguous.data);
  const uintptr_t high = low + static_cast<uintptr_t>(contiguous.elements()) * dtype_size(contiguous.dtype);
  const int64_t size = static_cast<int64_t>(dtype_size(any.dtype));
  const auto address = [&](int64_t element) { return reinterpret_cast<uintptr_t>(any.data) + static_cast<uintptr_t>(element * size); };
  const auto meet = [&](int64_t first, int64_t last) { return address(first) < high && address(last + 1) > low; };
  int64_t first = 0, last = 0;  // the ends of all of it
  for (int d = 0; d < any.ndim; ++d) (any.strides[d] < 0 ? first : last) += (any.shape[d] - 1) * any.strides[d];
  if (!meet(first, last) || any.contiguous) return meet(first, last);
  bool found = false;  // in the gaps there is room for others
  for_each_run(any, 0, any.elements(), [&](int64_t offset, int64_t step, int64_t count) {
    const int64_t end = offset + (count - 1) * step;
    if (found || !meet(std::min(offset, end), std::max(offset, end))) return;
    for (int64_t i = 0; i < count && !found; ++i) found = meet(offset + i * step, offset + i * step);
  });
  return found;
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
