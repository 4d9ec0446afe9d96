// What a call found on the device: from the first bad index to a fault with a value, and adding a call's results to a handle's state.
#pragma once

#include "core/device_ops.h"
#include "kernels/atomics.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"
#include "num/scale.h"

namespace nvfp4cal::cuda {

NVFP4CAL_HD inline bool is_clean(const DeviceCheck& check) { return check.fault == static_cast<int32_t>(DeviceFault::kNone); }

NVFP4CAL_HD inline void set_fault(DeviceCheck& check, DeviceFault fault, int64_t index, double value) {
  if (!is_clean(check)) return;
  check.fault = static_cast<int32_t>(fault);
  check.index = index;
  check.value = value;
}

// The fault of x's first element that is not finite, if there is one.
NVFP4CAL_HD inline void set_x_fault(DeviceCheck& check, const TensorView& x, DeviceFault fault = DeviceFault::kNotFinite) {
  if (check.first_bad == kNoIndex || !is_clean(check)) return;
  const int64_t index = static_cast<int64_t>(check.first_bad);
  set_fault(check, fault, index, stored_at(x, index));
  check.detail = static_cast<int32_t>(x.dtype);
}

struct StartCheck {
  static constexpr int kThreads = 1;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index&) const { *check = {kNoIndex, kNoIndex, 0, 0, 0, 0.0, 0}; }
};

// As many as arguments of a kernel have room for.
struct SetWords {
  static constexpr int kThreads = 512;
  uint32_t words[kThreads];
  int count;
  uint32_t* to;

  NVFP4CAL_HD void operator()(const Index& index) const {
    if (index.thread < count) to[index.thread] = words[index.thread];
  }
};

struct Publish {
  static constexpr int kThreads = 1;
  const DeviceCheck* check;
  DeviceStatus* status;

  NVFP4CAL_HD void operator()(const Index&) const {
    if (is_clean(*check) || status->status != 0) return;
    status->index = check->index;
    status->value = check->value;
    status->fault = check->fault;
    status->detail = check->detail;
    status->status = static_cast<int64_t>(nvfp4cal::status_of(static_cast<DeviceFault>(check->fault)));
  }
};

// A thread takes a few elements that lie far apart, so that neighbours write neighbours.
struct Convert {
  static constexpr int kThreads = 256;
  static constexpr int kElements = 4;
  TensorView x;
  int64_t elements;
  float* to;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t first = index.block * (kThreads * kElements) + index.thread;
    for (int i = 0; i < kElements; ++i) {
      const int64_t flat = first + i * kThreads;
      if (flat < elements) to[flat] = value_at(x, flat);
    }
  }
};

struct CloseCheck {
  static constexpr int kThreads = 1;
  TensorView x;
  DeviceCheck *check, *sticky;
  int32_t call;
  DeviceFault fault;

  NVFP4CAL_HD void operator()(const Index&) const {
    set_x_fault(*check, x, fault);
    check->call = call;
    if (sticky && is_clean(*sticky)) *sticky = *check;
  }
};

struct Merge {
  static constexpr int kThreads = 256;
  DeviceMerge kind;
  void* state;
  const void* mine;
  int64_t count;
  const DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t i = index.block * kThreads + index.thread;
    if (i >= count || !is_clean(*check)) return;
    switch (kind) {
      case DeviceMerge::kMaxBits: {
        uint32_t* const bits = static_cast<uint32_t*>(state);
        const uint32_t value = static_cast<const uint32_t*>(mine)[i];
        if (value > bits[i]) bits[i] = value;
        break;
      }
      case DeviceMerge::kAddInt64: static_cast<int64_t*>(state)[i] += static_cast<const int64_t*>(mine)[i]; break;
      case DeviceMerge::kAddFloat64: static_cast<double*>(state)[i] += static_cast<const double*>(mine)[i]; break;
    }
  }
};

// One block of threads: checks the global amaxes and makes their scales.
struct Slices {
  static constexpr int kThreads = 256;
  struct Shared {
    uint64_t bad, nonzero, tiny;  // the first slice of each kind
  };
  struct Thread {};
  TensorView x;
  const float* given;
  const uint32_t* maxima;
  int64_t slices;
  float normalization;
  bool needs_scale;
  float *amax, *scale, *global_scale;
  DeviceCheck* check;

  NVFP4CAL_HD int phases() const { return 5; }

  NVFP4CAL_HD void phase(int phase, const Index& index, Shared& shared, Thread&) const {
    if (phase == 0 && index.thread == 0) shared = {kNoIndex, kNoIndex, kNoIndex};
    if (phase == 1) {
      for (int64_t s = index.thread; s < slices; s += kThreads) look_at(s, shared);
    }
    if (phase == 2 && index.thread == 0) set_faults(shared);
    if (phase == 3) {
      for (int64_t s = index.thread; s < slices; s += kThreads) write(s);
    }
    // not before all threads have read the given amaxes: the caller may want the scales in their place
    if (phase == 4 && global_scale && is_clean(*check)) {
      for (int64_t s = index.thread; s < slices; s += kThreads) global_scale[s] = scale[s];
    }
  }

 private:
  NVFP4CAL_HD float amax_of(int64_t s) const { return given ? given[s] : num::from_bits(maxima[s]); }
  NVFP4CAL_HD void look_at(int64_t s, Shared& shared) const {
    const float value = amax_of(s);
    if (given && !(value >= 0.0f && num::is_finite(value))) return keep_min(&shared.bad, static_cast<uint64_t>(s));
    if (value == 0.0f) {
      if (maxima[s] != 0) keep_min(&shared.nonzero, static_cast<uint64_t>(s));
    } else if (needs_scale && num::global_scale(value, normalization) == 0.0f) {
      keep_min(&shared.tiny, static_cast<uint64_t>(s));
    }
  }
  NVFP4CAL_HD void set_faults(const Shared& shared) const {
    if (shared.bad != kNoIndex) {
      const int64_t s = static_cast<int64_t>(shared.bad);
      const DeviceFault fault = num::is_finite(given[s]) ? DeviceFault::kGlobalNegative : DeviceFault::kGlobalNotFinite;
      return set_fault(*check, fault, s, given[s]);
    }
    set_x_fault(*check, x);
    if (shared.nonzero != kNoIndex) {
      const int64_t s = static_cast<int64_t>(shared.nonzero);
      set_fault(*check, DeviceFault::kGlobalZero, s, num::from_bits(maxima[s]));
    }
    if (shared.tiny != kNoIndex) {
      const int64_t s = static_cast<int64_t>(shared.tiny);
      set_fault(*check, given ? DeviceFault::kGlobalTiny : DeviceFault::kFoundTiny, s, amax_of(s));
    }
  }
  NVFP4CAL_HD void write(int64_t s) const {
    const float value = is_clean(*check) ? amax_of(s) : 0.0f;  // nothing is searched for after a fault
    amax[s] = value;
    scale[s] = value > 0.0f ? num::global_scale(value, normalization) : 1.0f;
  }
};

}  // namespace nvfp4cal::cuda
