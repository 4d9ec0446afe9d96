// Calls on nvfp4cal_actmax, for tests that look at their results.
#pragma once

#include "calls.h"
#include "handles.h"

namespace api_test {

struct DestroyActMax {
  void operator()(nvfp4cal_actmax* handle) const { nvfp4cal_actmax_destroy(handle); }
};
using ActMax = std::unique_ptr<nvfp4cal_actmax, DestroyActMax>;

inline ActMax make_actmax() {
  nvfp4cal_actmax* handle = nullptr;
  return ActMax(nvfp4cal_actmax_create(&handle) == NVFP4CAL_OK ? handle : nullptr);
}

inline nvfp4cal_status collect(const ActMax& actmax, Floats& x, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(x, shape);
  return nvfp4cal_actmax_collect(actmax.get(), &tensor, nullptr);
}

inline Result amax(const ActMax& actmax) {
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_actmax_compute_amax(actmax.get(), out); });
}

inline Bytes exported(const ActMax& actmax) { return calls::exported(actmax.get(), nvfp4cal_actmax_export_state); }

inline nvfp4cal_status import_bytes(const ActMax& actmax, Bytes state) {
  const nvfp4cal_tensor tensor = view(state);
  return nvfp4cal_actmax_import_state(actmax.get(), &tensor);
}

inline nvfp4cal_actmax_stats stats_of(const ActMax& actmax) {
  nvfp4cal_actmax_stats stats{};
  stats.struct_size = sizeof stats;
  if (nvfp4cal_actmax_compute_stats(actmax.get(), &stats) != NVFP4CAL_OK) stats.blocks = -1;
  return stats;
}

}  // namespace api_test
