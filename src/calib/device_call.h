// The functions of calib/one_call.h on device tensors: everything is enqueued, then the call waits for what the device has found.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/block_hessian.h"
#include "calib/one_call.h"
#include "calib/request.h"
#include "core/device.h"

namespace nvfp4cal::calib {

// Values of the caller's in host memory or beside x; neither: none.
struct DeviceFloats {
  std::vector<float> host{};
  const TensorView* device = nullptr;

  int64_t count() const { return device ? device->elements() : static_cast<int64_t>(host.size()); }
  bool given() const { return device || !host.empty(); }
  // Where they lie on the device; `copy` keeps those that come from the host. Throws where a graph is captured and they are too many for it.
  const float* on(const Device& to, DeviceArray<float>& copy) const;
};

// Throws unless the view is contiguous float32 beside x.
void check_device_floats(const TensorView& view, const TensorView& x, const char* name);

// A checked quantization of x. x must outlive it.
class DeviceRequest {
 public:
  // global_amax: as SweepRequest's; none: found from x.
  DeviceRequest(const Device& device, const TensorView& x, const DeviceFloats& global_amax, const SweepOptions& options);
  DeviceRequest(const DeviceRequest&) = delete;

  // Before the searches below. weights: NULL, or beside x. What kernels cannot read gets a float32 copy.
  void prepare_search(const TensorView* weights);
  // Searches with the errors of sweep_hessian; a copy goes to the device. Before the searches below, and before any other look at x.
  void set_hessian(const BlockHessian& hessian);
  // The same with float32 [count, block, block] beside x, which is checked there.
  void set_hessian(const TensorView& hessian);
  // The exact search: block amaxes on the device. This and quantize end as one-call functions do (DeviceChecker).
  void sweep(float* out);
  // The same: its codes, in host memory. Waits.
  void sweep_codes(uint8_t* codes);
  // Codes, nibbles and decoded values; global_scale: NULL or [slices], on the device, like the outputs. method: not read where block_amax is given.
  void quantize(Method method, const DeviceFloats& block_amax, ScaleLayout layout, const QuantizeOutputs& outputs);

  int64_t blocks() const { return x_.elements() / options_.block; }

 private:
  void check_slices() const;
  void make_hessian_workspace(int hessian_block, int64_t count);
  // Global amaxes and their scales, and a first look at all of x.
  void prepare(bool needs_scale, float* global_scale);

  // Enqueues the search.
  DeviceArray<uint8_t> search();

  Device device_;
  const TensorView& x_;
  TensorView searched_, weights_;  // as the search reads them
  bool has_weights_ = false;
  SweepOptions options_;
  bool amax_is_given_;
  int64_t slices_;
  DeviceChecker check_;
  DeviceArray<float> given_copy_, amax_, scale_, x_copy_, weights_copy_;
  DeviceArray<uint32_t> maxima_;
  DeviceArray<uint64_t> findings_;
  DeviceArray<float> hessian_copy_;
  const float* hessian_ = nullptr;
  DeviceArray<uint8_t> workspace_;
  int64_t columns_ = 0;
  const float* given_;
};

void dequantize_on_device(const Device& device, const Encoded& encoded, const DeviceFloats& global_scale, DecodeOrder order,
                          const TensorView& out);

// As swizzle of calib/one_call.h.
void swizzle_on_device(const Device& device, const TensorView& linear, uint8_t* tiles, bool to_tiles);

}  // namespace nvfp4cal::calib
