// The format nvfp4-pack-quantized of compressed-tensors.
#pragma once

#include "checkpoint/output_format.h"

namespace nvfp4cal::checkpoint {

class CompressedTensorsFormat final : public OutputFormat {
 public:
  const char* name() const override { return "compressed-tensors"; }
  LayerNames names(const std::string& module) const override;
  std::vector<int64_t> scalar_shape() const override { return {1}; }
  float global_scale(float global_amax, float normalization) const override;
  float input_scale(float scale) const override;
  nlohmann::ordered_json config_member(const QuantizationInfo& info) const override;
  nlohmann::ordered_json quant_config(const QuantizationInfo& info) const override;
};

}  // namespace nvfp4cal::checkpoint
