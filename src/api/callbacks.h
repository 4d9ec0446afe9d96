// The caller's callbacks as functions of views.
#pragma once

#include "api/tensors.h"
#include "calib/functions.h"
#include "core/error.h"

namespace nvfp4cal::api {

static_assert(static_cast<int32_t>(calib::ErrorValues::kElements) == NVFP4CAL_ERRORS_ELEMENTS);
static_assert(static_cast<int32_t>(calib::ErrorValues::kScalar) == NVFP4CAL_ERRORS_SCALAR);

// Both kinds of callback: a function of two tensors that fills a third; it throws kCallback if the callback fails. `name` is its kind in messages.
template <class Callback>
auto function_of(Callback callback, void* user, const char* name) {
  return [=](const TensorView& x, const TensorView& other, const TensorView& out) {
    const nvfp4cal_tensor x_tensor = tensor_of(x), other_tensor = tensor_of(other);
    nvfp4cal_tensor out_tensor = tensor_of(out);
    const int32_t result = callback(user, &x_tensor, &other_tensor, &out_tensor);
    if (result != 0) fail(Status::kCallback, "the %s callback returned %d", name, result);
  };
}

}  // namespace nvfp4cal::api
