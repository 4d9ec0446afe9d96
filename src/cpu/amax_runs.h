// Cutting a tensor into runs of elements that share an amax and a channel, or whose amaxes lie side by side.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/ops.h"

namespace nvfp4cal::cpu {

struct AmaxRun {
  int64_t begin, count;   // elements, from the start of the range
  int64_t amax, channel;  // of the first element
};

class AmaxRuns {
 public:
  AmaxRuns(const TensorView& x, const int64_t* amax_strides, const int64_t* channel_strides) : x_(x) {
    int inner = x.ndim - 1;
    for (int d = 0; d < x.ndim; ++d) {
      amax_strides_[d] = x.shape[d] > 1 ? amax_strides[d] : 0;
      channel_strides_[d] = x.shape[d] > 1 ? channel_strides[d] : 0;
    }
    while (inner >= 0 && x.shape[inner] <= 1) --inner;
    if (inner < 0) return;
    amax_step_ = amax_strides_[inner];
    channel_step_ = channel_strides_[inner];
    length_ = x.shape[inner];
    if (amax_step_ != 0 || channel_step_ != 0) return;
    for (int d = inner - 1; d >= 0 && amax_strides_[d] == 0 && channel_strides_[d] == 0; --d) length_ *= x.shape[d];
  }

  // From an element of a run to the next: 0 or 1.
  int64_t amax_step() const { return amax_step_; }
  int64_t channel_step() const { return channel_step_; }

  int64_t amax_of(int64_t flat) const { return index_of(flat, amax_strides_); }
  int64_t channel_of(int64_t flat) const { return index_of(flat, channel_strides_); }

  // Appends the runs of elements [begin, end).
  void cut(int64_t begin, int64_t end, std::vector<AmaxRun>& runs) const {
    for (int64_t at = begin; at < end;) {
      const int64_t stop = std::min(end, (at / length_ + 1) * length_);
      runs.push_back({at - begin, stop - at, amax_of(at), channel_of(at)});
      at = stop;
    }
  }

  // The smallest and largest amax or channel of elements [begin, end), begin < end; what lies between may be others'.
  std::pair<int64_t, int64_t> amax_range(int64_t begin, int64_t end) const { return range_of(begin, end, amax_strides_); }
  std::pair<int64_t, int64_t> channel_range(int64_t begin, int64_t end) const { return range_of(begin, end, channel_strides_); }

 private:
  std::pair<int64_t, int64_t> range_of(int64_t begin, int64_t end, const int64_t* strides) const {
    int64_t first[kMaxNdim], last[kMaxNdim];
    indices_of(begin, first);
    indices_of(end - 1, last);
    int64_t lowest = 0, highest = 0;
    bool apart = false;  // an outer index differs: inner ones take all values
    for (int d = 0; d < x_.ndim; ++d) {
      lowest += apart ? 0 : first[d] * strides[d];
      highest += (apart ? x_.shape[d] - 1 : last[d]) * strides[d];
      apart = apart || first[d] != last[d];
    }
    return {lowest, highest};
  }
  void indices_of(int64_t flat, int64_t* indices) const {
    for (int d = x_.ndim - 1; d >= 0; --d) {
      indices[d] = flat % x_.shape[d];
      flat /= x_.shape[d];
    }
  }
  int64_t index_of(int64_t flat, const int64_t* strides) const {
    int64_t index = 0;
    for (int d = x_.ndim - 1; d >= 0; --d) {
      index += flat % x_.shape[d] * strides[d];
      flat /= x_.shape[d];
    }
    return index;
  }

  const TensorView& x_;
  int64_t amax_strides_[kMaxNdim] = {}, channel_strides_[kMaxNdim] = {};
  int64_t length_ = 1, amax_step_ = 0, channel_step_ = 0;
};

}  // namespace nvfp4cal::cpu
