// The handle of checkpoint jobs, for its two files of functions.
#pragma once

#include "api/barrier.h"
#include "checkpoint/job.h"

struct nvfp4cal_checkpoint {
  nvfp4cal::checkpoint::Job job;
  mutable nvfp4cal::api::ErrorText error;
};
