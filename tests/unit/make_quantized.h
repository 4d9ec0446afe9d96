// Small quantized model folders, in both formats, written by hand.
#pragma once

#include <nlohmann/json.hpp>

#include "make_model.h"

namespace nvfp4cal::test {

// A layer's parts before they get the names of a format. The global scale is ModelOpt's factor.
struct Layer {
  std::string module;
  int64_t rows = 0, cols = 0;
  std::string codes, scales;
  float global = 1.0f;
  float input = 0.0f;  // 0: none
};

inline Layer random_layer(const std::string& module, int64_t rows, int64_t cols, float global = 0.0078125f) {
  std::mt19937 random(static_cast<uint32_t>(std::hash<std::string>{}(module)));
  Layer layer{
      module, rows, cols, std::string(static_cast<size_t>(rows * cols / 2), '\0'), std::string(static_cast<size_t>(rows * cols / 16), '\0'),
      global};
  for (char& byte : layer.codes) byte = static_cast<char>(random() & 0xFF);
  for (char& byte : layer.scales) byte = static_cast<char>(1 + random() % 126);
  return layer;
}

inline std::string float_bytes(float value) { return std::string(reinterpret_cast<const char*>(&value), 4); }

inline void add_layer(std::vector<Weight>& weights, const Layer& layer, bool modelopt) {
  const std::string& p = layer.module;
  weights.push_back({p + (modelopt ? ".weight" : ".weight_packed"), "U8", {layer.rows, layer.cols / 2}, layer.codes});
  weights.push_back({p + ".weight_scale", "F8_E4M3", {layer.rows, layer.cols / 16}, layer.scales});
  const std::vector<int64_t> shape = modelopt ? std::vector<int64_t>{} : std::vector<int64_t>{1};
  weights.push_back({p + (modelopt ? ".weight_scale_2" : ".weight_global_scale"), "F32", shape,
                     float_bytes(modelopt ? layer.global : 1.0f / layer.global)});
  if (layer.input == 0.0f) return;
  weights.push_back(
      {p + (modelopt ? ".input_scale" : ".input_global_scale"), "F32", shape, float_bytes(modelopt ? layer.input : 1.0f / layer.input)});
}

// The values of a layer, by its own table: E2M1 * (v * s2), or E2M1 * (v / g).
inline std::vector<float> decoded(const Layer& layer, bool modelopt) {
  static const float levels[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  std::vector<float> values(layer.codes.size() * 2);
  const float g = 1.0f / layer.global;
  for (size_t i = 0; i < values.size(); ++i) {
    const int code = static_cast<uint8_t>(layer.codes[i / 2]) >> (i % 2 * 4) & 15, scale = static_cast<uint8_t>(layer.scales[i / 16]);
    const float v =
        scale < 8 ? static_cast<float>(scale) / 512.0f : std::ldexp(1.0f + static_cast<float>(scale & 7) / 8.0f, (scale >> 3) - 7);
    values[i] = (code & 8 ? -1.0f : 1.0f) * levels[code & 7] * (modelopt ? v * layer.global : v / g);
  }
  return values;
}

inline nlohmann::ordered_json modelopt_member(const std::vector<std::string>& excluded, const std::string& algorithm = "W4A16_NVFP4") {
  return {
      {"config_groups", {{"group_0", {{"weights", {{"num_bits", 4}, {"type", "float"}, {"group_size", 16}}}, {"targets", {"Linear"}}}}}},
      {"ignore", excluded},
      {"quant_algo", algorithm},
      {"quant_method", "modelopt"}};
}

inline nlohmann::ordered_json compressed_tensors_member(const std::vector<std::string>& excluded) {
  const nlohmann::ordered_json weights = {{"num_bits", 4},    {"type", "float"}, {"symmetric", true}, {"strategy", "tensor_group"},
                                          {"group_size", 16}, {"dynamic", false}};
  return {{"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", nullptr}}}}},
          {"format", "nvfp4-pack-quantized"},
          {"quant_method", "compressed-tensors"},
          {"quantization_status", "compressed"},
          {"ignore", excluded}};
}

inline void write_config(const std::string& folder, const nlohmann::ordered_json& member) {
  write_file(folder + "/config.json", nlohmann::ordered_json{{"architectures", {"X"}}, {"quantization_config", member}}.dump(2));
}

// One file with these layers and others, and the format's configuration.
inline void write_quantized(const std::string& folder, const std::vector<Layer>& layers, const std::vector<Weight>& others, bool modelopt,
                            const std::vector<std::string>& excluded = {}) {
  std::vector<Weight> weights = others;
  for (const Layer& layer : layers) add_layer(weights, layer, modelopt);
  write_safetensors(folder + "/model.safetensors", weights);
  write_config(folder, modelopt ? modelopt_member(excluded) : compressed_tensors_member(excluded));
}

}  // namespace nvfp4cal::test
