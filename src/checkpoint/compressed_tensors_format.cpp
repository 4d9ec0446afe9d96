#include "checkpoint/compressed_tensors_format.h"

#include "checkpoint/plan.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr const char* kFormatName = "nvfp4-pack-quantized";

// The members that every release of the package knows: it refuses unknown ones.
ordered_json arguments() {
  ordered_json object;
  object["num_bits"] = 4;
  object["type"] = "float";
  object["symmetric"] = true;
  object["strategy"] = "tensor_group";
  object["group_size"] = kBlock;
  object["dynamic"] = false;
  return object;
}

}  // namespace

LayerNames CompressedTensorsFormat::names(const std::string& module) const {
  return {module + ".weight_packed", module + ".weight_scale", module + ".weight_global_scale"};
}

float CompressedTensorsFormat::global_scale(float global_amax) const { return num::reciprocal_global_scale(global_amax); }

ordered_json CompressedTensorsFormat::config_member(const std::vector<std::string>& excluded) const {
  ordered_json group;
  group["targets"] = ordered_json::array({"Linear"});
  group["weights"] = arguments();
  group["input_activations"] = nullptr;
  group["output_activations"] = nullptr;
  ordered_json quantization;
  quantization["config_groups"]["group_0"] = std::move(group);
  quantization["format"] = kFormatName;
  quantization["quant_method"] = "compressed-tensors";
  quantization["quantization_status"] = "compressed";
  quantization["ignore"] = excluded;
  quantization["kv_cache_scheme"] = nullptr;
  quantization["global_compression_ratio"] = nullptr;
  return quantization;
}

ordered_json CompressedTensorsFormat::quant_config(const std::vector<std::string>&) const { return nullptr; }

}  // namespace nvfp4cal::checkpoint
