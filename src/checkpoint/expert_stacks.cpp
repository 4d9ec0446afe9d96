#include "checkpoint/expert_stacks.h"

#include <algorithm>
#include <iterator>

#include "checkpoint/name_rules.h"
#include "checkpoint/plan.h"
#include "checkpoint/text.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

// How a model type stores its stacks. Rows are outputs: gate_up_proj [E, 2I, H] and down_proj [E, H, I]; columns are outputs: [E, H, 2I] and
// [E, I, H]. The gate comes first.
enum Layouts : unsigned { kRows = 1, kColumns = 2 };

struct ModelType {
  const char* name;
  unsigned layouts;
};

// Types whose engines look for experts.<i>.{gate,up,down}_proj. qwen3_vl_moe changed its layout: the shapes tell.
constexpr ModelType kModelTypes[] = {
    {"qwen2_moe", kRows},
    {"qwen3_moe", kRows},
    {"qwen3_next", kRows},
    {"qwen3_5_moe", kRows},
    {"qwen3_5_moe_text", kRows},
    {"olmoe", kRows},
    {"flex_olmo", kRows},
    {"deepseek_v2", kRows},
    {"deepseek_v3", kRows},
    {"deepseek_v32", kRows},
    {"glm4_moe", kRows},
    {"dots1", kRows},
    {"glm4_moe_lite", kRows},
    {"glm4v_moe", kRows},
    {"ernie4_5_moe", kRows},
    {"llama4", kColumns},
    {"llama4_text", kColumns},
    {"qwen3_vl_moe", kRows | kColumns},
    {"qwen3_vl_moe_text", kRows | kColumns},
};

constexpr std::string_view kGateUp = "gate_up_proj", kDown = "down_proj";

// A member of the configuration or of its text_config.
ordered_json config_value(const ordered_json& config, const char* name) {
  if (config.is_object() && config.contains(name)) return config[name];
  if (config.is_object() && config.contains("text_config") && config["text_config"].is_object())
    return config["text_config"].value(name, ordered_json());
  return nullptr;
}

// "a.mlp.experts." of a stack with this last part (and perhaps .weight); empty for other names.
std::string prefix_before(std::string_view name, std::string_view last) {
  if (name.ends_with(kWeightSuffix)) name.remove_suffix(std::string_view(kWeightSuffix).size());
  const std::string end = "experts." + std::string(last);
  return name.ends_with(end) ? std::string(name.substr(0, name.size() - last.size())) : "";
}

struct Pair {
  const TensorEntry* gate_up = nullptr;
  const TensorEntry* down = nullptr;
};

bool fits(const Pair& pair, unsigned layout, int64_t hidden) {
  const auto &a = pair.gate_up->shape, &b = pair.down->shape;
  const int64_t two_i = layout == kRows ? a[1] : a[2], h = layout == kRows ? a[2] : a[1];
  const int64_t i = layout == kRows ? b[2] : b[1], down_h = layout == kRows ? b[1] : b[2];
  // Stacks without elements would cost nothing in the file and, with many experts, all memory here.
  return a[0] == b[0] && a[0] > 0 && i > 0 && h > 0 && h == hidden && down_h == hidden && two_i % 2 == 0 && i == two_i / 2;
}

// The weights of one projection: `rows` outputs from `first_row` on.
void add_parts(std::vector<StackPart>& parts, const TensorEntry& stack, const std::string& prefix, const char* projection, unsigned layout,
               int64_t first_row, int64_t rows) {
  const int64_t outputs = layout == kRows ? stack.shape[1] : stack.shape[2], inputs = layout == kRows ? stack.shape[2] : stack.shape[1];
  const int64_t row_step = layout == kRows ? inputs : 1, col_step = layout == kRows ? 1 : outputs;
  for (int64_t e = 0; e < stack.shape[0]; ++e) {
    parts.push_back({prefix + std::to_string(e) + "." + projection + kWeightSuffix, rows, inputs,
                     e * outputs * inputs + first_row * row_step, row_step, col_step});
  }
}

void take_apart(const Pair& pair, const std::string& prefix, unsigned layout, std::map<const TensorEntry*, StackLayout>& result) {
  const int64_t rows = (layout == kRows ? pair.gate_up->shape[1] : pair.gate_up->shape[2]) / 2;
  const int64_t hidden = layout == kRows ? pair.down->shape[1] : pair.down->shape[2];
  std::vector<StackPart>& parts = result[pair.gate_up].parts;
  add_parts(parts, *pair.gate_up, prefix, "gate_proj", layout, 0, rows);
  add_parts(parts, *pair.gate_up, prefix, "up_proj", layout, rows, rows);
  add_parts(result[pair.down].parts, *pair.down, prefix, "down_proj", layout, 0, hidden);
}

// The layout of this model's stacks, or why it is not known.
std::string find_layout(const Pair& pair, const ordered_json& config, unsigned& layout) {
  if (config.is_null()) return "their layout is not known without config.json";
  const ordered_json type = config_value(config, "model_type"), hidden = config_value(config, "hidden_size");
  const std::string type_name = type.is_string() ? type.get<std::string>() : "";
  const auto known = std::find_if(std::begin(kModelTypes), std::end(kModelTypes), [&](const ModelType& t) { return type_name == t.name; });
  if (known == std::end(kModelTypes)) return "their layout is not known for the model type " + in_quotes(type_name);
  if (!pair.gate_up || !pair.down) return "not a pair of gate_up_proj and down_proj";
  if (!hidden.is_number_integer()) return "config.json has no hidden_size";
  for (const unsigned candidate : {kRows, kColumns}) {
    if ((known->layouts & candidate) && fits(pair, candidate, hidden.get<int64_t>())) layout |= candidate;
  }
  if (layout == kRows || layout == kColumns) return "";
  return "the shapes do not fit the layout of the model type " + in_quotes(type_name);
}

}  // namespace

bool is_stack(const TensorEntry& tensor) { return tensor.shape.size() == 3 && tensor.name.find("experts") != std::string::npos; }

std::map<const TensorEntry*, StackLayout> stack_layouts(const std::vector<const TensorEntry*>& tensors, const ordered_json& config) {
  std::map<const TensorEntry*, StackLayout> result;
  std::map<std::string, Pair> pairs;
  for (const TensorEntry* tensor : tensors) {
    if (!is_stack(*tensor)) continue;
    const std::string gate_up = prefix_before(tensor->name, kGateUp), down = prefix_before(tensor->name, kDown);
    if (!gate_up.empty()) pairs[gate_up].gate_up = tensor;
    if (!down.empty()) pairs[down].down = tensor;
    if (gate_up.empty() && down.empty()) result[tensor].unknown = "not named gate_up_proj or down_proj";
  }
  for (const auto& [prefix, pair] : pairs) {
    unsigned layout = 0;
    const std::string unknown = find_layout(pair, config, layout);
    if (unknown.empty()) {
      take_apart(pair, prefix, layout, result);
      continue;
    }
    if (pair.gate_up) result[pair.gate_up].unknown = unknown;
    if (pair.down) result[pair.down].unknown = unknown;
  }
  return result;
}

}  // namespace nvfp4cal::checkpoint
