#include "checkpoint/convert_config.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "checkpoint/config_text.h"
#include "checkpoint/expert_stacks.h"
#include "checkpoint/name_rules.h"
#include "checkpoint/plan.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr std::string_view kSpace = " \t\r\n";

bool says_something(const ordered_json& object, const char* name) {
  if (!object.is_object()) return false;
  const auto found = object.find(name);
  return found != object.end() && !found->is_null() && !(found->is_structured() && found->empty());
}

[[noreturn]] void refuse(const QuantizedModel& model, const std::string& what) {
  fail(Status::kUnsupported, "%s: %s: the other format has no counterpart", model.files.folder.c_str(), what.c_str());
}

// One member of the object that a valid JSON text is.
struct Member {
  std::string_view key;  // between its quotes
  size_t key_begin, value_begin, value_end;
};

// The position behind the string that begins at `at`.
size_t end_of_string(std::string_view text, size_t at) {
  for (++at; text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

// The position behind the value that begins at `at`.
size_t end_of_value(std::string_view text, size_t at) {
  for (int depth = 0;;) {
    const char c = text[at];
    if ((c == ',' || c == '}' || c == ']') && depth == 0) break;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    at = c == '"' ? end_of_string(text, at) : at + 1;
  }
  return text.find_last_not_of(kSpace, at - 1) + 1;
}

std::vector<Member> members_of(std::string_view text) {
  std::vector<Member> members;
  size_t at = text.find_first_not_of(kSpace, text.find('{') + 1);
  while (text[at] != '}') {
    const size_t key_end = end_of_string(text, at);
    const size_t value = text.find_first_not_of(kSpace, text.find(':', key_end) + 1), end = end_of_value(text, value);
    members.push_back({text.substr(at + 1, key_end - at - 2), at, value, end});
    at = text.find_first_not_of(kSpace, end);
    if (text[at] == ',') at = text.find_first_not_of(kSpace, at + 1);
  }
  return members;
}

// The white space before a member; two spaces if it shares its line with something.
std::string indentation(const std::string& text, size_t key_begin) {
  const size_t line = text.find_last_of('\n', key_begin);
  const std::string before = line == std::string::npos ? "x" : text.substr(line + 1, key_begin - line - 1);
  return before.empty() || before.find_first_not_of(" \t") != std::string::npos ? "  " : before;
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

std::string with_replaced_quantization(const std::string& text, const ordered_json& quantization) {
  for (const Member& member : members_of(text)) {
    if (std::find(std::begin(kConfigMembers), std::end(kConfigMembers), member.key) == std::end(kConfigMembers)) continue;
    const std::string indent = indentation(text, member.key_begin);
    std::string result = text.substr(0, member.key_begin) + "\"quantization_config\": ";
    for (const char c : quantization.dump(static_cast<int>(indent.size()), indent[0])) {
      result += c;
      if (c == '\n') result += indent;
    }
    return result + text.substr(member.value_end);
  }
  return with_quantization_config(text, quantization);
}

}  // namespace nvfp4cal::checkpoint
