// A validated view of a tensor: what the rest of the library sees of nvfp4cal_tensor.
#pragma once

#include <cstdint>
#include <string>

#include "core/dtype.h"

namespace nvfp4cal {

inline constexpr int kMaxNdim = 8;

struct TensorView {
  void* data = nullptr;
  Dtype dtype = Dtype::kF32;
  int32_t device_type = 0;  // 0: host
  int32_t device_id = 0;
  int ndim = 0;
  int64_t shape[kMaxNdim] = {};
  int64_t strides[kMaxNdim] = {};  // elements, always filled in
  bool contiguous = true;          // row-major without gaps

  int64_t elements() const;
  int64_t last() const { return ndim > 0 ? shape[ndim - 1] : 1; }
  bool on_device() const { return device_type != 0; }
  std::string shape_text() const;  // "[4, 16]"
};

// A contiguous host view.
TensorView make_view(const void* data, Dtype dtype, int ndim, const int64_t* shape);

// Whether an element of a tensor lies in the memory of a contiguous one.
bool overlap(const TensorView& contiguous, const TensorView& any);

// Fills strides for row-major order.
void set_contiguous_strides(TensorView& view);

// Visits flat indices [begin, end) as runs of elements that lie at a constant step from each other:
// run(offset_of_first_element, step, count), all in elements.
template <class Run>
void for_each_run(const TensorView& view, int64_t begin, int64_t end, Run&& run) {
  if (view.contiguous || view.ndim == 0) {
    run(begin, int64_t{1}, end - begin);
    return;
  }
  const int inner = view.ndim - 1;
  const int64_t extent = view.shape[inner];
  int64_t index[kMaxNdim];
  int64_t rest = begin;
  for (int d = inner; d >= 0; --d) {
    index[d] = rest % view.shape[d];
    rest /= view.shape[d];
  }
  while (begin < end) {
    int64_t offset = 0;
    for (int d = 0; d < view.ndim; ++d) offset += index[d] * view.strides[d];
    const int64_t count = extent - index[inner] < end - begin ? extent - index[inner] : end - begin;
    run(offset, view.strides[inner], count);
    begin += count;
    index[inner] = 0;
    for (int d = inner - 1; d >= 0 && ++index[d] == view.shape[d]; --d) index[d] = 0;
  }
}

}  // namespace nvfp4cal
