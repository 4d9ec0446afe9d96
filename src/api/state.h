// export_state and import_state of every calibrator.
#pragma once

#include <cstring>
#include <vector>

#include "api/tensors.h"
#include "core/error.h"

namespace nvfp4cal::api {

// The calibrator with what it has collected on a device taken over, which waits for it: before anything that reads. Its handle has it `mutable`.
template <class Handle>
auto& settled(const Handle* handle) {
  handle->calibrator.settle();
  return handle->calibrator;
}

inline void write_state(const std::vector<uint8_t>& bytes, nvfp4cal_tensor* out) {
  if (answer_query(out, {Dtype::kU8, {static_cast<int64_t>(bytes.size())}}, "out")) return;
  std::memcpy(out->data, bytes.data(), bytes.size());
}

// Calls import(bytes, n) with the contiguous bytes of the tensor.
template <class Import>
void read_state(const nvfp4cal_tensor* state, Import&& import) {
  const TensorView view = input(state, "state");
  if (view.dtype != Dtype::kU8 || !view.contiguous)
    fail(Status::kUnsupported, "state is %s, expected contiguous uint8", dtype_name(view.dtype));
  import(static_cast<const uint8_t*>(view.data), static_cast<size_t>(view.elements()));
}

}  // namespace nvfp4cal::api
