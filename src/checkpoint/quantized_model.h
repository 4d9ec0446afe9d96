// A quantized model folder, of either format: which tensors make a layer, what the configuration says of them, and what is wrong with that.
// docs/tool.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/model_files.h"
#include "checkpoint/options.h"

namespace nvfp4cal::checkpoint {

struct StoredTensor {
  const Shard* shard = nullptr;
  const TensorEntry* entry = nullptr;  // NULL: there is none
};

// A flaw of the model. Kinds: docs/tool.md.
struct Defect {
  std::string kind, name, text;
};

struct QuantizedLayer {
  std::string module;                                     // "model.layers.0.mlp.up_proj"
  StoredTensor codes, scales, global_scale, input_scale;  // the last one is absent where activations are not quantized
  int64_t rows = 0, cols = 0;                             // of the weight
  float stored_global = 0.0f;                             // as it lies in the file
  std::optional<float> stored_input = std::nullopt;
};

// What the configuration files say.
struct QuantizationConfig {
  bool has_config = false;              // there is a config.json
  std::string text;                     // of it
  nlohmann::ordered_json member;        // its quantization_config; null: none
  nlohmann::ordered_json quant_config;  // hf_quant_config.json; null: none
  std::string algorithm;                // "NVFP4", "W4A16_NVFP4", of ModelOpt's format another one; empty: nothing says
  std::vector<std::string> excluded;    // modules that are not quantized: names or patterns
};

struct QuantizedModel {
  ModelFiles files;
  std::optional<Format> format;        // none: no layer is quantized
  std::vector<QuantizedLayer> layers;  // complete ones, by module
  std::vector<StoredTensor> others;    // in the order of the files
  QuantizationConfig config;
  std::vector<Defect> defects;  // of layers that are not complete, and of the configuration
  std::vector<std::string> warnings;
};

// Opens and checks a folder without reading weights. Files that are malformed are errors (kCorrupt, kIo), as for a run; layers and
// configurations that do not fit are defects.
QuantizedModel read_quantized_model(const std::string& folder);

// For those who need a model without flaws: kInvalidArgument if it is not quantized, kCorrupt with the first defect.
void require_sound(const QuantizedModel& model);

// The global scale as the factor of ModelOpt's format.
float global_factor(Format format, float stored);

}  // namespace nvfp4cal::checkpoint
