// How a quantized model is written: the tensors of a quantized layer and the configurations. Codes and block scales are the same bytes in
// all formats; names, the global scale and the configurations differ.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/options.h"
#include "checkpoint/safetensors_header.h"

namespace nvfp4cal::checkpoint {

inline constexpr const char* kConfigName = "config.json";
inline constexpr const char* kQuantConfigName = "hf_quant_config.json";

// Names of the tensors of a quantized layer.
struct LayerNames {
  std::string codes, scales, global_scale, input_scale;
};

// What the configurations say.
struct QuantizationInfo {
  std::vector<std::string> excluded;  // full names of modules that are not quantized
  bool quantizes_inputs;
};

class OutputFormat {
 public:
  virtual ~OutputFormat() = default;

  // "modelopt": in reports and options.
  virtual const char* name() const = 0;
  virtual LayerNames names(const std::string& module) const = 0;
  // Of a scalar tensor.
  virtual std::vector<int64_t> scalar_shape() const = 0;
  // The stored global scale for a global amax.
  virtual float global_scale(float global_amax, float normalization) const = 0;
  // The stored form of an input scale, which is ModelOpt's: the amax of the activation / 2688.
  virtual float input_scale(float scale) const = 0;
  // The member quantization_config of config.json.
  virtual nlohmann::ordered_json config_member(const QuantizationInfo& info) const = 0;
  // The content of hf_quant_config.json; null: the format has no such file.
  virtual nlohmann::ordered_json quant_config(const QuantizationInfo& info) const = 0;

  // What a [N, K] weight "<module>.weight" becomes: codes U8 [N, K/2], block scales F8_E4M3 [N, K/16], the global scale F32 and, if
  // inputs are quantized, the input scale F32. In this order:
  static constexpr size_t kCodes = 0, kScales = 1, kGlobalScale = 2, kInputScale = 3;
  std::vector<TensorEntry> quantized_entries(const TensorEntry& weight, bool quantizes_inputs) const;
};

const OutputFormat& output_format(Format format);

}  // namespace nvfp4cal::checkpoint
