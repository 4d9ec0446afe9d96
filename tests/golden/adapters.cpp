#include "golden/adapters.h"

namespace nvfp4cal::test {

Adapter adapter_of(const std::string& family) {
  static const std::map<std::string, Adapter> kAdapters = {
      {"casts", call_casts},
      {"nvfp4_mse", call_nvfp4_mse},
      {"nvfp4_hessian", call_nvfp4_hessian},
      {"mse_calibrator", call_mse_calibrator},
      {"act_max", call_act_max},
      {"observers", call_observers},
      {"qwantize", call_qwantize},
      {"pack", call_pack},
  };
  const auto found = kAdapters.find(family);
  if (found == kAdapters.end()) throw std::runtime_error("no family " + family);
  return found->second;
}

}  // namespace nvfp4cal::test
