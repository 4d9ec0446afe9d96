#include "checkpoint/modelopt_format.h"

#include "checkpoint/plan.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

const char* algorithm(const QuantizationInfo& info) { return info.quantizes_inputs ? "NVFP4" : "W4A16_NVFP4"; }

ordered_json producer() { return ordered_json{{"name", "nvfp4cal"}, {"version", NVFP4CAL_VERSION}}; }

}  // namespace

LayerNames ModeloptFormat::names(const std::string& module) const {
  const std::string weight = module + kWeightSuffix;
  return {weight, weight + "_scale", weight + "_scale_2", module + ".input_scale"};
}

float ModeloptFormat::global_scale(float global_amax, float normalization) const { return num::global_scale(global_amax, normalization); }

float ModeloptFormat::input_scale(float scale) const { return scale; }

ordered_json ModeloptFormat::quant_config(const QuantizationInfo& info) const {
  ordered_json quantization;
  quantization["quant_algo"] = algorithm(info);
  quantization["kv_cache_quant_algo"] = nullptr;  // vLLM wants the key to be there
  quantization["group_size"] = kBlock;
  quantization["exclude_modules"] = info.excluded;
  ordered_json config;
  config["producer"] = producer();
  config["quantization"] = std::move(quantization);
  return config;
}

ordered_json ModeloptFormat::config_member(const QuantizationInfo& info) const {
  ordered_json arguments;
  arguments["dynamic"] = false;
  arguments["num_bits"] = 4;
  arguments["type"] = "float";
  arguments["group_size"] = kBlock;
  ordered_json group;
  if (info.quantizes_inputs) group["input_activations"] = arguments;
  group["weights"] = std::move(arguments);
  group["targets"] = ordered_json::array({"Linear"});
  ordered_json quantization;
  quantization["config_groups"]["group_0"] = std::move(group);
  quantization["ignore"] = info.excluded;
  quantization["quant_algo"] = algorithm(info);
  quantization["producer"] = producer();
  quantization["quant_method"] = "modelopt";
  return quantization;
}

}  // namespace nvfp4cal::checkpoint
