#include "checkpoint/modelopt_format.h"

#include "checkpoint/plan.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr const char* kAlgorithm = "W4A16_NVFP4";

ordered_json producer() { return ordered_json{{"name", "nvfp4cal"}, {"version", NVFP4CAL_VERSION}}; }

}  // namespace

LayerNames ModeloptFormat::names(const std::string& module) const {
  const std::string weight = module + kWeightSuffix;
  return {weight, weight + "_scale", weight + "_scale_2"};
}

float ModeloptFormat::global_scale(float global_amax) const { return num::global_scale(global_amax, num::kNormalization); }

ordered_json ModeloptFormat::quant_config(const std::vector<std::string>& excluded) const {
  ordered_json quantization;
  quantization["quant_algo"] = kAlgorithm;
  quantization["kv_cache_quant_algo"] = nullptr;  // vLLM wants the key to be there
  quantization["group_size"] = kBlock;
  quantization["exclude_modules"] = excluded;
  ordered_json config;
  config["producer"] = producer();
  config["quantization"] = std::move(quantization);
  return config;
}

ordered_json ModeloptFormat::config_member(const std::vector<std::string>& excluded) const {
  ordered_json weights;
  weights["dynamic"] = false;
  weights["num_bits"] = 4;
  weights["type"] = "float";
  weights["group_size"] = kBlock;
  ordered_json group;
  group["weights"] = std::move(weights);
  group["targets"] = ordered_json::array({"Linear"});
  ordered_json quantization;
  quantization["config_groups"]["group_0"] = std::move(group);
  quantization["ignore"] = excluded;
  quantization["quant_algo"] = kAlgorithm;
  quantization["producer"] = producer();
  quantization["quant_method"] = "modelopt";
  return quantization;
}

}  // namespace nvfp4cal::checkpoint
