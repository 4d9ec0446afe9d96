#include "checkpoint/quantized_model_config.h"

#include <algorithm>
#include <set>

#include "checkpoint/config_text.h"
#include "checkpoint/name_rules.h"
#include "checkpoint/output_format.h"
#include "checkpoint/plan.h"
#include "checkpoint/text.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr const char* kKind = "configuration";

// A member of an object, NULL if there is none (or no object).
const ordered_json* find(const ordered_json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const ordered_json& object, const char* name) {
  const ordered_json* found = find(object, name);
  return found && found->is_string() ? found->get<std::string>() : "";
}

bool is_number(const ordered_json& object, const char* name, int value) {
  const ordered_json* found = find(object, name);
  return found && found->is_number_integer() && *found == value;
}

class Checker {
 public:
  explicit Checker(QuantizedModel& model) : model_(model), config_(model.config) {}

  void run() {
    if (model_.layers.empty()) {
      if (!config_.member.is_null() || !config_.quant_config.is_null())
        model_.warnings.push_back("the configuration says that the model is quantized, but no layer is in NVFP4");
      return;
    }
    if (config_.member.is_null() && config_.quant_config.is_null())
      return flaw(kConfigName, "nothing says how the model is quantized: engines take its weights for numbers");
    if (*model_.format == Format::kCompressedTensors) {
      check_compressed_tensors();
    } else {
      check_modelopt();
    }
    check_inputs();
    check_excluded();
  }

 private:
  void flaw(const char* file, const std::string& text) { model_.defects.push_back({kKind, file, text}); }

  void check_method(const char* wanted) {
    const std::string method = text_of(config_.member, "quant_method");
    if (method != wanted) flaw(kConfigName, "quant_method is " + in_quotes(method) + ", but the tensors are of \"" + wanted + "\"");
  }

  // Also says whether activations are quantized.
  void check_compressed_tensors() {
    if (config_.member.is_null()) return flaw(kConfigName, "no quantization_config");
    check_method("compressed-tensors");
    const ordered_json* groups = find(config_.member, "config_groups");
    if (!groups || !groups->is_object() || groups->empty()) return flaw(kConfigName, "no config_groups");
    for (const auto& [name, group] : groups->items()) {
      const std::string own = text_of(group, "format");
      if ((own.empty() ? text_of(config_.member, "format") : own) != "nvfp4-pack-quantized") {
        model_.warnings.push_back("the configuration group " + in_quotes(name) + " is not nvfp4-pack-quantized");
        continue;
      }
      const ordered_json* weights = find(group, "weights");
      if (!weights || !is_number(*weights, "num_bits", 4) || !is_number(*weights, "group_size", 16) ||
          text_of(*weights, "type") != "float" || text_of(*weights, "strategy") != "tensor_group")
        flaw(kConfigName, in_quotes(name) + ": weights are not 4-bit floats in groups of 16 with strategy tensor_group");
      config_.algorithm = find(group, "input_activations") ? "NVFP4" : "W4A16_NVFP4";
    }
  }

  void check_modelopt() {
    const ordered_json* file = find(config_.quant_config, "quantization");
    if (!config_.quant_config.is_null() && !file) flaw(kQuantConfigName, "no object \"quantization\"");
    if (!config_.member.is_null()) check_method("modelopt");
    const std::string member_algorithm = text_of(config_.member, "quant_algo");
    const std::string file_algorithm = file ? text_of(*file, "quant_algo") : "";
    if (!config_.member.is_null() && file && member_algorithm != file_algorithm)
      flaw(kQuantConfigName,
           "quant_algo is " + in_quotes(file_algorithm) + ", but " + kConfigName + " says " + in_quotes(member_algorithm));
    config_.algorithm = member_algorithm.empty() ? file_algorithm : member_algorithm;
    if (config_.algorithm != "NVFP4" && config_.algorithm != "W4A16_NVFP4")
      model_.warnings.push_back("quant_algo is " + in_quotes(config_.algorithm) + ": only NVFP4 and W4A16_NVFP4 are checked");
    if (file && find(*file, "group_size") && !is_number(*file, "group_size", 16)) flaw(kQuantConfigName, "group_size is not 16");
    if (file) check_same_lists(*file);
    if (const ordered_json* groups = find(config_.member, "config_groups"); groups && groups->is_object()) {
      for (const auto& [name, group] : groups->items()) {
        const ordered_json* weights = find(group, "weights");
        if (weights && find(*weights, "group_size") && !is_number(*weights, "group_size", 16))
          flaw(kConfigName, in_quotes(name) + ": group_size is not 16");
      }
    }
  }

  void check_same_lists(const ordered_json& file) {
    if (config_.member.is_null()) return;
    const auto set_of = [](const ordered_json* list) {
      std::set<std::string> names;
      if (list && list->is_array()) {
        for (const ordered_json& name : *list) names.insert(name.is_string() ? name.get<std::string>() : name.dump());
      }
      return names;
    };
    if (set_of(find(file, "exclude_modules")) != set_of(find(config_.member, "ignore")))
      flaw(kQuantConfigName, std::string("exclude_modules is not the list \"ignore\" of ") + kConfigName);
  }

  // Engines leave an input scale that they expect and do not find uninitialised.
  void check_inputs() {
    int64_t without = 0, with = 0;
    std::string first_without;
    for (const QuantizedLayer& layer : model_.layers) {
      ++(layer.stored_input ? with : without);
      if (!layer.stored_input && first_without.empty()) first_without = layer.module;
    }
    if (config_.algorithm == "NVFP4" && without > 0)
      flaw(kConfigName, "activations are said to be quantized (NVFP4), but " + std::to_string(without) +
                            " layers have no input scale: " + in_quotes(first_without));
    if (config_.algorithm == "W4A16_NVFP4" && with > 0)
      model_.warnings.push_back(std::to_string(with) + " layers have an input scale that the configuration does not speak of");
  }

  bool is_excluded(const std::string& module) const {
    return std::any_of(config_.excluded.begin(), config_.excluded.end(), [&](const std::string& name) { return matches(name, module); });
  }

  void check_excluded() {
    const bool patterns =
        std::any_of(config_.excluded.begin(), config_.excluded.end(), [](const std::string& name) { return name.starts_with("re:"); });
    for (const QuantizedLayer& layer : model_.layers) {
      if (is_excluded(layer.module)) flaw(kConfigName, in_quotes(layer.module) + " is quantized, but listed as not quantized");
    }
    if (patterns) return;  // what a regular expression of Python's matches is for Python to say
    int64_t count = 0;
    std::string first;
    for (const StoredTensor& tensor : model_.others) {
      const std::string& name = tensor.entry->name;
      if (!name.ends_with(kWeightSuffix) || tensor.entry->shape.size() != 2 || is_norm(name)) continue;
      if (name.find("embed") != std::string::npos || is_excluded(module_of(name))) continue;
      if (count++ == 0) first = name;
    }
    if (count > 0)
      model_.warnings.push_back(std::to_string(count) + " matrices are neither quantized nor listed as excluded: " + in_quotes(first));
  }

  QuantizedModel& model_;
  QuantizationConfig& config_;
};

}  // namespace

void read_quantization_config(QuantizedModel& model) {
  QuantizationConfig& config = model.config;
  const std::string path = model.files.folder + "/" + kConfigName, quant_path = model.files.folder + "/" + kQuantConfigName;
  if (has_entry(path)) {
    config.has_config = true;
    config.text = read_text_file(path);
    const ordered_json all = parse_config(config.text);
    for (const char* name : kConfigMembers) {
      if (const ordered_json* member = find(all, name); member && config.member.is_null()) config.member = *member;
    }
  }
  if (has_entry(quant_path)) config.quant_config = parse_json(kQuantConfigName, read_text_file(quant_path));
  const ordered_json* quantization = find(config.quant_config, "quantization");
  const ordered_json* list = find(config.member, "ignore");
  if (!list && quantization) list = find(*quantization, "exclude_modules");
  if (!list || !list->is_array()) return;
  for (const ordered_json& name : *list) {
    if (name.is_string()) config.excluded.push_back(name.get<std::string>());
  }
}

void check_quantization_config(QuantizedModel& model) { Checker(model).run(); }

}  // namespace nvfp4cal::checkpoint
