#pragma once

#include "api/barrier.h"
#include "calib/hessian.h"

struct nvfp4cal_hessian {
  mutable nvfp4cal::calib::Hessian calibrator;
  mutable nvfp4cal::api::ErrorText error;
};
