#pragma once

#include "api/barrier.h"
#include "calib/max.h"

struct nvfp4cal_max {
  mutable nvfp4cal::calib::Max calibrator;  // reading takes over what was collected on a device
  mutable nvfp4cal::api::ErrorText error;
};

namespace nvfp4cal::api {

inline calib::Max& settled(const nvfp4cal_max* handle) {
  handle->calibrator.settle();
  return handle->calibrator;
}

}  // namespace nvfp4cal::api
