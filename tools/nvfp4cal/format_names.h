// Words of options and their numbers in nvfp4cal.h.
#pragma once

#include <nvfp4cal.h>

#include <string>

namespace nvfp4cal_tool {

// -1 for words that are none.
inline int32_t method_number(const std::string& name) {
  return name == "mse"             ? NVFP4CAL_METHOD_MSE
         : name == "max"           ? NVFP4CAL_METHOD_MAX
         : name == "four-over-six" ? NVFP4CAL_METHOD_FOUR_OVER_SIX
         : name == "gptq"          ? NVFP4CAL_METHOD_GPTQ
                                   : -1;
}

inline int32_t effort_number(const std::string& name) {
  return name == "fast" ? NVFP4CAL_GPTQ_FAST : name == "default" ? NVFP4CAL_GPTQ_DEFAULT : name == "max" ? NVFP4CAL_GPTQ_MAX : -1;
}

inline int32_t format_number(const std::string& name) {
  return name == "modelopt" ? NVFP4CAL_FORMAT_MODELOPT : name == "compressed-tensors" ? NVFP4CAL_FORMAT_COMPRESSED_TENSORS : -1;
}

}  // namespace nvfp4cal_tool
