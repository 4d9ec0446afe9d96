// nvfp4cal_tensor to and from the library's own view, checked.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.h"
#include "nvfp4cal.h"

namespace nvfp4cal::api {

// A checked view of an input; `name` is the parameter's in messages.
TensorView input(const nvfp4cal_tensor* tensor, const char* name);

// The same, also on a device; its elements are aligned there.
TensorView input_anywhere(const nvfp4cal_tensor* tensor, const char* name);

// The tensor's dtype, which must be one that is known.
Dtype dtype_of(const nvfp4cal_tensor* tensor, const char* name);

// What an output has to be.
struct Wanted {
  Dtype dtype;
  std::vector<int64_t> shape;
  Dtype also = dtype;  // a second dtype of the same size that is taken
};

// An input, or another output.
struct Neighbour {
  const TensorView* view = nullptr;  // NULL: none
  const char* name = "";
};

struct Output {
  nvfp4cal_tensor* tensor;
  Wanted wanted;
  const char* name;
  const TensorView* beside =
      nullptr;                 // the input that is read while this is written: on the same device, in other memory; NULL: host memory
  bool may_be_beside = false;  // or in the very same: data, dtype, contiguous
  Neighbour apart = {};        // another input that is read while this is written
};

// Checks that all outputs can be written. If any of them is a question (data == NULL), those are answered and the result is true: there
// is nothing to compute. Nothing is filled in if a check fails.
bool answer_queries(const std::vector<Output>& outputs);

inline bool answer_query(nvfp4cal_tensor* tensor, const Wanted& wanted, const char* name, const TensorView* beside = nullptr,
                         const Neighbour& apart = {}) {
  return answer_queries({{tensor, wanted, name, beside, false, apart}});
}

// A view of an output that has been checked.
TensorView output(const nvfp4cal_tensor* tensor);

// The other way: what a callback is given.
nvfp4cal_tensor tensor_of(const TensorView& view);

}  // namespace nvfp4cal::api
