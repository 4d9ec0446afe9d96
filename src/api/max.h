#pragma once

#include "api/barrier.h"
#include "calib/max.h"

struct nvfp4cal_max {
  mutable nvfp4cal::calib::Max calibrator;
  mutable nvfp4cal::api::ErrorText error;
};
