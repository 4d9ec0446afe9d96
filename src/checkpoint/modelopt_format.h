// NVIDIA ModelOpt's checkpoint format: NVFP4 and W4A16_NVFP4.
#pragma once

#include "checkpoint/output_format.h"

namespace nvfp4cal::checkpoint {

class ModeloptFormat final : public OutputFormat {
 public:
  const char* name() const override { return "modelopt"; }
  LayerNames names(const std::string& module) const override;
  std::vector<int64_t> scalar_shape() const override { return {}; }
  float global_scale(float global_amax, float normalization) const override;
  float input_scale(float scale) const override;
  nlohmann::ordered_json config_member(const QuantizationInfo& info) const override;
  nlohmann::ordered_json quant_config(const QuantizationInfo& info) const override;
};

}  // namespace nvfp4cal::checkpoint
