// Largest magnitude per tensor, per axis or per block over many tensors: the state is one running maximum a group.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/device_state.h"
#include "core/parallel.h"
#include "core/tensor_view.h"

namespace nvfp4cal::calib {

class Max {
 public:
  void set_execution(const Execution& execution) { execution_ = execution; }
  void set_axes(const int32_t* axes, int n);
  void set_block_size(int block);

  // Tensors on a device: enqueued on the stream; what is wrong with one is thrown by whoever needs the result.
  void collect(const TensorView& x, CUstream_st* stream);
  bool empty() const { return !has_data_; }

  // Shape of the result; throws kNoData before the first collect.
  const std::vector<int64_t>& shape() const;
  const std::vector<float>& amax() const;
  std::vector<float>& mutable_amax();

  // Takes over what was collected on a device, waiting for it; called before anything that reads the maxima.
  void settle();

  // The rest is of settled calibrators.
  void merge(const Max& other);
  std::vector<uint8_t> export_state() const;
  void import_state(const uint8_t* bytes, size_t n);
  void reset();

 private:
  struct Groups {
    std::vector<int64_t> shape;
    int64_t strides[kMaxNdim] = {};
    int64_t count = 1;
  };
  Groups groups_of(const TensorView& x) const;
  void check_shape() const;
  void require_no_data(const char* option) const;
  void collect_on_device(const Device& device, const TensorView& x, const Groups& groups);

  Execution execution_ = Execution::process_default();
  std::vector<int32_t> axes_;
  int block_ = 0;
  bool has_data_ = false;
  std::vector<int64_t> shape_;
  std::vector<float> amax_;
  DeviceState device_;  // bits of maxima, of the shape above
};

}  // namespace nvfp4cal::calib
