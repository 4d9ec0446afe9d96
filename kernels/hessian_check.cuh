// Hessians that lie on the device: finite, symmetric, and as float64 where that is wanted.
#pragma once

#include "kernels/check.cuh"
#include "num/block_hessian.h"

namespace nvfp4cal::cuda {

// What check.first_other says of Hessians: an index, and in its upper bits what is wrong. Of several things the first kind is named.
inline constexpr int kHessianKindBit = 62;
enum class HessianFlaw : uint64_t { kNotFinite = 0, kAsymmetric = 1, kSingular = 2 };
NVFP4CAL_HD inline void note_hessian(DeviceCheck& check, HessianFlaw flaw, int64_t index) {
  keep_min(&check.first_other, static_cast<uint64_t>(flaw) << kHessianKindBit | static_cast<uint64_t>(index));
}

// A block of threads takes one matrix.
struct CheckHessians {
  static constexpr int kThreads = 256;
  struct Shared {
    uint32_t largest;
  };
  struct Thread {};
  TensorView h;  // [matrices, n, n]
  int n;
  HessianUse use;
  double* wide;  // NULL, or [matrices, n, n]
  DeviceCheck* check;

  NVFP4CAL_HD int phases() const { return 3; }

  NVFP4CAL_HD void phase(int phase, const Index& index, Shared& shared, Thread&) const {
    if (phase == 0) {
      if (index.thread == 0) shared.largest = 0;
      return;
    }
    for (int i = index.thread; i < n * n; i += kThreads) {
      if (phase == 1) {
        look_at(index.block * n * n + i, shared);
      } else if (i / n > i % n && !is_mirrored(index.block, i / n, i % n, shared)) {
        note_hessian(*check, HessianFlaw::kAsymmetric, index.block * n * n + i);
      }
    }
  }

 private:
  NVFP4CAL_HD void look_at(int64_t flat, Shared& shared) const {
    const float value = value_at(h, flat);
    if (wide) wide[flat] = static_cast<double>(value);
    if (!num::is_finite(value)) note_hessian(*check, HessianFlaw::kNotFinite, flat);
    keep_max(&shared.largest, num::bits_of(value) & num::kAbsMask);
  }
  NVFP4CAL_HD double at(int64_t matrix, int row, int column) const {
    return static_cast<double>(value_at(h, (matrix * n + row) * n + column));
  }
  NVFP4CAL_HD bool is_mirrored(int64_t matrix, int i, int j, const Shared& shared) const {
    const double a = at(matrix, i, j), b = at(matrix, j, i);
    if (use == HessianUse::kBlocks) return num::mirrors(a, b, static_cast<double>(num::from_bits(shared.largest)));
    return num::mirrors(a, b, at(matrix, i, i), at(matrix, j, j));
  }
};

// The fault of what has been noted of Hessians.
struct CloseHessians {
  static constexpr int kThreads = 1;
  TensorView h;
  int n;
  HessianUse use;
  DeviceCheck* check;

  NVFP4CAL_HD void operator()(const Index&) const {
    const uint64_t noted = check->first_other;
    if (noted == kNoIndex || !is_clean(*check)) return;
    const int64_t flat = static_cast<int64_t>(noted & ((uint64_t{1} << kHessianKindBit) - 1));
    const bool blocks = use == HessianUse::kBlocks;
    switch (static_cast<HessianFlaw>(noted >> kHessianKindBit)) {
      case HessianFlaw::kNotFinite:
        set_fault(*check, blocks ? DeviceFault::kHessiansNotFinite : DeviceFault::kHessianNotFinite, flat, value_at(h, flat));
        break;
      case HessianFlaw::kAsymmetric: {
        const int64_t mirrored = flat + (flat % n - flat / n % n) * (n - 1);
        set_fault(*check, blocks ? DeviceFault::kHessiansAsymmetric : DeviceFault::kHessianAsymmetric, flat,
                  pair_value(value_at(h, flat), value_at(h, mirrored)));
        break;
      }
      default: set_fault(*check, DeviceFault::kHessianSingular, flat, 0.0);
    }
    check->detail = n;
  }
};

}  // namespace nvfp4cal::cuda
