// Every function that takes tensors.
#pragma once

#include "calls_block.h"
#include "calls_calibrators.h"
#include "calls_gptq.h"

namespace api_test::calls {

inline const std::vector<Maker> kAll = [] {
  std::vector<Maker> all(std::begin(kOneCall), std::end(kOneCall));
  all.insert(all.end(), std::begin(kBlock), std::end(kBlock));
  all.insert(all.end(), std::begin(kMaxAndSweep), std::end(kMaxAndSweep));
  all.insert(all.end(), std::begin(kCalibrators), std::end(kCalibrators));
  all.insert(all.end(), std::begin(kGptq), std::end(kGptq));
  return all;
}();

}  // namespace api_test::calls
