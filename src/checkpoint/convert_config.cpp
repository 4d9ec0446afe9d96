#include "checkpoint/convert_config.h"

#include <algorithm>
#include <set>

#include "checkpoint/expert_stacks.h"
#include "checkpoint/name_rules.h"
#include "checkpoint/plan.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

bool says_something(const ordered_json& object, const char* name) {
  if (!object.is_object()) return false;
  const auto found = object.find(name);
  return found != object.end() && !found->is_null() && !(found->is_structured() && found->empty());
}

[[noreturn]] void refuse(const QuantizedModel& model, const std::string& what) {
  fail(Status::kUnsupported, "%s: %s: the other format has no counterpart", model.files.folder.c_str(), what.c_str());
}

}  // namespace

void refuse_what_has_no_counterpart(const QuantizedModel& model, Format target) {
  const QuantizationConfig& config = model.config;
  if (*model.format == target)
    fail(Status::kInvalidArgument, "%s has that format already: %s", model.files.folder.c_str(), output_format(target).name());
  if (config.algorithm != "NVFP4" && config.algorithm != "W4A16_NVFP4") refuse(model, "the algorithm " + in_quotes(config.algorithm));
  const ordered_json file = config.quant_config.is_object() ? config.quant_config.value("quantization", ordered_json()) : ordered_json();
  for (const char* name : {"kv_cache_scheme", "kv_cache_quant_algo", "sparsity_config", "transform_config", "quantized_layers"}) {
    if (says_something(config.member, name) || says_something(file, name)) refuse(model, name);
  }
  if (const auto groups = config.member.find("config_groups"); groups != config.member.end() && groups->is_object() && groups->size() > 1)
    refuse(model, std::to_string(groups->size()) + " config_groups");
  for (const StoredTensor& tensor : model.others) {
    const std::string& name = tensor.entry->name;
    for (const char* end : {".pre_quant_scale", ".k_scale", ".v_scale", ".weight_scale", ".weight_zero_point", ".weight_g_idx"}) {
      if (name.ends_with(end)) refuse(model, "the tensor " + in_quotes(name));
    }
  }
  if (!config.has_config)
    fail(Status::kInvalidArgument, "%s has no %s, which is where compressed-tensors says how a model is quantized",
         model.files.folder.c_str(), kConfigName);
}

std::vector<std::string> unquantized_modules(const QuantizedModel& model) {
  std::set<std::string> modules;
  for (const std::string& name : model.config.excluded) {
    if (name.find('*') == std::string::npos && !name.starts_with("re:")) modules.insert(name);
  }
  for (const StoredTensor& tensor : model.others) {
    const TensorEntry& entry = *tensor.entry;
    if (is_stack(entry)) modules.insert(stack_module(entry.name));
    if (entry.shape.size() != 2 || !entry.name.ends_with(kWeightSuffix) || is_norm(entry.name)) continue;
    if (const std::string module = module_of(entry.name); !module.empty()) modules.insert(module);
  }
  return {modules.begin(), modules.end()};
}

}  // namespace nvfp4cal::checkpoint
