// The NVFP4 global amax of an activation from the distribution of its block amaxes: the state is a histogram over log2 and the largest magnitude.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/device_state.h"
#include "core/parallel.h"
#include "core/tensor_view.h"

namespace nvfp4cal::calib {

// Which term set the result; the values are NVFP4CAL_ACTMAX_TERM_*.
enum class ActMaxTerm : int32_t { kBMin = 0, kBMax = 1, kLiteralMax = 2 };

struct ActMaxStats {
  ActMaxTerm term = ActMaxTerm::kLiteralMax;
  int64_t blocks = 0;  // not all zero
  double p1 = 0, p99_99 = 0;
  double b_min = 0, b_max = 0;  // used; 0 where a percentile collapsed
  float literal_max = 0, result = 0;
};

class ActMax {
 public:
  void set_execution(const Execution& execution) { execution_ = execution; }
  void set_rho(double rho);
  void set_percentiles(double b_min, double b_max);
  void set_margin(double margin);
  void set_bins(int bins, double log2_min, double log2_max);
  void set_block_size(int block);
  void set_headroom(bool headroom);

  // Tensors on a device: as Max::collect.
  void collect(const TensorView& x, CUstream_st* stream);
  // As Max::settle.
  void settle();

  // Throws kNoData if no block with a magnitude above zero has been seen.
  ActMaxStats stats() const;

  // The arrays of the state, to be reduced in place; throw kNoData before the first collect.
  std::vector<int64_t>& mutable_counts();
  float& mutable_literal_max();

  void merge(const ActMax& other);
  std::vector<uint8_t> export_state() const;
  void import_state(const uint8_t* bytes, size_t n);
  void reset();

 private:
  struct Options {
    double rho = 16384.0;
    double b_min_percentile = 1.0, b_max_percentile = 99.99;
    double margin = 1.0;
    double log2_min = -40.0, log2_max = 40.0;
    int32_t bins = 512, block = 16;
    bool headroom = false;
    bool operator==(const Options&) const = default;
  };
  void require_no_data(const char* option) const;
  void require_data() const;
  void collect_on_device(const Device& device, const TensorView& x);
  double percentile(double p, size_t first_bin) const;
  size_t bin_of(double value) const;

  Execution execution_ = Execution::process_default();
  Options options_;
  std::vector<uint32_t> edges_;  // made at the first collect with these options
  bool has_data_ = false;
  std::vector<int64_t> counts_;
  float literal_max_ = 0;
  DeviceState device_;  // counts, then the bits of the largest magnitude
};

}  // namespace nvfp4cal::calib
