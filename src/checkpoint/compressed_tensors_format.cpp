#include "checkpoint/compressed_tensors_format.h"

#include "checkpoint/plan.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr const char* kFormatName = "nvfp4-pack-quantized";

// The members that every release of the package knows: it refuses the others.
ordered_json arguments(const ordered_json& dynamic) {
  ordered_json object;
  object["num_bits"] = 4;
  object["type"] = "float";
  object["symmetric"] = true;
  object["strategy"] = "tensor_group";
  object["group_size"] = kBlock;
  object["dynamic"] = dynamic;
  return object;
}

// Block scales as inputs come. Releases from 0.13 on round them to E4M3, as kernels do, only if they are told; earlier ones round, and refuse the member.
ordered_json input_arguments() {
  ordered_json object = arguments("local");
  object["scale_dtype"] = "torch.float8_e4m3fn";
  return object;
}

}  // namespace

LayerNames CompressedTensorsFormat::names(const std::string& module) const {
  return {module + ".weight_packed", module + ".weight_scale", module + ".weight_global_scale", module + ".input_global_scale"};
}

float CompressedTensorsFormat::global_scale(float global_amax, float normalization) const {
  return num::reciprocal_global_scale(global_amax, normalization);
}

float CompressedTensorsFormat::input_scale(float scale) const { return 1.0f / scale; }

ordered_json CompressedTensorsFormat::config_member(const QuantizationInfo& info) const {
  ordered_json group;
  group["targets"] = ordered_json::array({"Linear"});
  group["weights"] = arguments(false);
  group["input_activations"] = info.quantizes_inputs ? input_arguments() : ordered_json();
  group["output_activations"] = nullptr;
  ordered_json quantization;
  quantization["config_groups"]["group_0"] = std::move(group);
  quantization["format"] = kFormatName;
  quantization["quant_method"] = "compressed-tensors";
  quantization["quantization_status"] = "compressed";
  quantization["ignore"] = info.excluded;
  quantization["kv_cache_scheme"] = nullptr;
  quantization["global_compression_ratio"] = nullptr;
  return quantization;
}

ordered_json CompressedTensorsFormat::quant_config(const QuantizationInfo&) const { return nullptr; }

}  // namespace nvfp4cal::checkpoint
