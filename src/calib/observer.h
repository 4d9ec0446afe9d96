// Min/max observers with or without a search over shrunken ranges: the state is one range a group and, for two-level formats, the
// range that the global scale comes from.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/observer_search.h"
#include "core/parallel.h"

namespace nvfp4cal::calib {

class StateReader;

class Observer {
 public:
  void set_execution(const Execution& execution) { execution_ = execution; }

  // change(options) on a copy that is taken over if its values are good; wrong state after data was collected.
  template <class Change>
  void set_option(const char* name, Change&& change) {
    require_no_data(name);
    ObserverOptions options = options_;
    change(options);
    check_values(options);
    options_ = std::move(options);
  }

  // x on a device: waits for the stream.
  void collect(const TensorView& x, CUstream_st* stream);

  // Throw kNoData before the first collect.
  const std::vector<int64_t>& shape() const;
  const Ranges& ranges() const;
  ObserverScales scales() const;
  // Throw kUnsupported unless the strategy is tensor_group.
  float global_scale() const;
  Ranges global_range() const;  // of one group

  // Gives all the same global scale, that of the widest range.
  static void fuse(const std::vector<Observer*>& observers);

  // Running minima and maxima: only those have a merge, and arrays that other processes may reduce.
  void merge(const Observer& other);
  Ranges& running_ranges();

  std::vector<uint8_t> export_state() const;
  void import_state(const uint8_t* bytes, size_t n);
  void reset();

 private:
  void require_no_data(const char* option) const;
  void require_data() const;
  void require_two_level() const;
  void require_running(const char* what) const;
  Ranges folded(const Ranges& past, const Ranges& now) const;
  void read_data(StateReader& reader);

  Execution execution_ = Execution::process_default();
  ObserverOptions options_;
  bool has_data_ = false;
  std::vector<int64_t> shape_;
  Ranges ranges_;
  Ranges global_;            // if the options keep one: of one group
  float fused_amax_ = 0.0f;  // 0: not fused
};

}  // namespace nvfp4cal::calib
