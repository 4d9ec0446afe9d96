// Single-level block quantization of device tensors. Ends as one-call functions do (DeviceChecker).
#pragma once

#include "calib/block.h"
#include "calib/device_call.h"

namespace nvfp4cal::calib {

// The Hessians of a search: one of these, or none.
struct BlockHessianInput {
  BlockHessians host;                       // checked
  const TensorView* hessians = nullptr;     // beside w, to be checked
  const TensorView* activations = nullptr;  // likewise
};
// Outputs lie beside w.
void block_search_on_device(const Device& device, const BlockedTensor& w, BlockMethod method, const BlockHessianInput& given,
                            const BlockOptions& options, const BlockOutputs& outputs);

// What is made of x with given scales: one of these.
struct BlockResults {
  void* quants = nullptr;
  void* dequant = nullptr;
  void* errors = nullptr;
  bool wide = false;  // errors are float64, else float32
};
// scales: checked here, on whichever side they lie. `name` is x's in messages.
void block_apply_on_device(const Device& device, const BlockedTensor& x, const DeviceFloats& scales, const BlockResults& results,
                           const char* name);

}  // namespace nvfp4cal::calib
