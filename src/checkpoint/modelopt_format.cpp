#include "checkpoint/modelopt_format.h"

#include "checkpoint/plan.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr const char* kAlgorithm = "W4A16_NVFP4";

ordered_json producer() { return ordered_json{{"name", "nvfp4cal"}, {"version", NVFP4CAL_VERSION}}; }

}  // namespace

std::vector<TensorEntry> quantized_entries(const TensorEntry& weight) {
  const int64_t rows = weight.shape[0], cols = weight.shape[1];
  TensorEntry codes{weight.name, find_dtype("U8"), {rows, cols / 2}, 0, 0};
  TensorEntry scales{weight.name + kScaleSuffix, find_dtype("F8_E4M3"), {rows, cols / kBlock}, 0, 0};
  TensorEntry global{weight.name + kGlobalScaleSuffix, find_dtype("F32"), {}, 0, 0};
  return {std::move(codes), std::move(scales), std::move(global)};
}

ordered_json quant_config(const std::vector<std::string>& excluded_modules) {
  ordered_json quantization;
  quantization["quant_algo"] = kAlgorithm;
  quantization["kv_cache_quant_algo"] = nullptr;  // vLLM wants the key to be there
  quantization["group_size"] = kBlock;
  quantization["exclude_modules"] = excluded_modules;
  ordered_json config;
  config["producer"] = producer();
  config["quantization"] = std::move(quantization);
  return config;
}

ordered_json config_member(const std::vector<std::string>& excluded_modules) {
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
  quantization["ignore"] = excluded_modules;
  quantization["quant_algo"] = kAlgorithm;
  quantization["producer"] = producer();
  quantization["quant_method"] = "modelopt";
  return quantization;
}

}  // namespace nvfp4cal::checkpoint
