// NVIDIA ModelOpt's checkpoint format, weights only (W4A16_NVFP4): tensors of a quantized layer and the two configurations.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/safetensors_header.h"

namespace nvfp4cal::checkpoint {

inline constexpr const char* kConfigName = "config.json";
inline constexpr const char* kQuantConfigName = "hf_quant_config.json";
inline constexpr const char* kScaleSuffix = "_scale";  // after "a.weight"
inline constexpr const char* kGlobalScaleSuffix = "_scale_2";

// What a [N, K] weight becomes: codes U8 [N, K/2], block scales F8_E4M3 [N, K/16], the global scale F32 [].
std::vector<TensorEntry> quantized_entries(const TensorEntry& weight);

// The content of hf_quant_config.json.
nlohmann::ordered_json quant_config(const std::vector<std::string>& excluded_modules);

// The member quantization_config of the model's config.json.
nlohmann::ordered_json config_member(const std::vector<std::string>& excluded_modules);

}  // namespace nvfp4cal::checkpoint
