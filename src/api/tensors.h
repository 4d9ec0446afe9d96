// nvfp4cal_tensor to and from the library's own view, checked.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.h"
#include "nvfp4cal.h"

namespace nvfp4cal::api {

// A checked view of an input; `name` is the parameter's in messages.
TensorView input(const nvfp4cal_tensor* tensor, const char* name);

// What an output has to be.
struct Wanted {
  Dtype dtype;
  std::vector<int64_t> shape;
  Dtype also = dtype;  // a second dtype of the same size that is taken
};

// Answers a shape query and returns true, or returns false after checking that the output can be written.
bool answer_query(nvfp4cal_tensor* tensor, const Wanted& wanted, const char* name);

// A view of an output that answer_query() has checked.
TensorView output(const nvfp4cal_tensor* tensor);

}  // namespace nvfp4cal::api
