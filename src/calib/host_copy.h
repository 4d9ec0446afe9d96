// A small tensor in host memory, wherever it lies.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "core/tensor_view.h"

struct CUstream_st;

namespace nvfp4cal::calib {

// A contiguous tensor of a device is copied, which waits for the stream and cannot be captured; others stay where they are. `name` is the tensor's in messages,
// `what` what cannot be captured.
class HostCopy {
 public:
  HostCopy(const TensorView& tensor, const char* name, const char* what, const Execution& execution, CUstream_st* stream);
  HostCopy(const HostCopy&) = delete;
  HostCopy& operator=(const HostCopy&) = delete;
  const TensorView& view() const { return view_; }

 private:
  std::vector<uint8_t> bytes_;
  TensorView view_;
};

}  // namespace nvfp4cal::calib
