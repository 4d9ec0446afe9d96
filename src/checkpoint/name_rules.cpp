#include "checkpoint/name_rules.h"

#include <algorithm>

#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

struct Rule {
  const char* pattern;
  const char* why;
};

// Patterns see the whole tensor name in lower case. ModelOpt's default-disabled list, and layers that a file does not tell from
// linear ones.
constexpr Rule kRules[] = {
    {"*embed*", "embedding"},
    {"*wte*", "embedding"},
    {"*wpe*", "embedding"},
    {"emb.*", "embedding"},
    {"*.emb.*", "embedding"},
    {"shared.weight", "embedding"},
    {"*.shared.weight", "embedding"},
    {"*relative_attention_bias*", "embedding"},
    {"*lm_head*", "output layer"},
    {"*output_layer*", "output layer"},
    {"output.*", "output layer"},
    {"*proj_out.*", "output layer"},
    {"*shared_head*", "output layer"},
    {"head.weight", "output layer"},
    {"*.head.weight", "output layer"},
    {"cls.*", "output layer"},
    {"*pooler*", "task head"},
    {"*classifier*", "task head"},
    {"*score*", "task head"},
    {"*router*", "router or gate"},
    {"*.gate.weight", "router or gate"},
    {"gate.weight", "router or gate"},
    {"*shared_expert_gate*", "router or gate"},
    {"*block_sparse_moe.gate*", "router or gate"},
    {"*mlp.gate.*", "router or gate"},
    {"*.gate.wg.*", "router or gate"},
    {"*mixer.gate*", "router or gate"},
    {"switch.weight", "router or gate"},
    {"*.switch.weight", "router or gate"},
    {"*latent_proj*", "latent projection of experts"},
    {"*conv1d*", "convolution"},
    {"*linear_attn.in_proj_a*", "linear attention gate"},
    {"*linear_attn.in_proj_b*", "linear attention gate"},
    {"mtp.*", "multi-token prediction"},
    {"*.mtp.*", "multi-token prediction"},
    {"*mtp_*", "multi-token prediction"},
    {"*vision*", "vision part"},
    {"*visual*", "vision part"},
    {"*multi_modal_projector*", "vision part"},
    {"*mm_projector*", "vision part"},
    {"*lora_*", "low-rank adapter"},
};

const std::vector<std::string> kFusedSets[] = {
    {"q_proj", "k_proj", "v_proj"},     {"query", "key", "value"},
    {"q_lin", "k_lin", "v_lin"},        {"wq", "wk", "wv"},
    {"gate_proj", "up_proj"},           {"w1", "w3"},
    {"q_a_proj", "kv_a_proj_with_mqa"}, {"wq_a", "wkv_a", "wkv_a_with_mqa"},
    {"to_q", "to_k", "to_v"},           {"add_q_proj", "add_k_proj", "add_v_proj"},
    {"in_proj_qkv", "in_proj_z"},
};

constexpr const char* kQuantizedNames[] = {".weight_scale",        ".weight_scale_2", ".weight_scale_inv",
                                           ".weight_global_scale", ".weight_packed",  ".qweight"};

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t dot; (dot = text.find('.')) != std::string_view::npos; text.remove_prefix(dot + 1)) parts.push_back(text.substr(0, dot));
  parts.push_back(text);
  return parts;
}

// GPT-2 stores these layers as Conv1D, [in, out]: blocks along the last dimension would run along the output. Models that use the same
// names for true linear layers cannot be told apart by name and shape (the square c_proj), so all of them stay.
bool is_gpt2_conv1d(std::string_view name) {
  const std::vector<std::string_view> parts = split(name);  // ... h <i> attn c_attn weight
  const size_t n = parts.size();
  if (n < 5 || parts[n - 5] != "h" || !is_number(parts[n - 4])) return false;
  const std::string_view layer = parts[n - 2];
  return layer == "c_attn" || layer == "c_fc" || layer == "c_proj" || layer == "q_attn";
}

}  // namespace

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return result;
}

bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool is_norm(std::string_view tensor_name) {
  const std::vector<std::string_view> parts = split(tensor_name);
  const std::string layer = parts.size() > 1 ? lower(parts[parts.size() - 2]) : "";
  return layer.find("norm") != std::string::npos || matches("ln_*", layer) || layer == "ln";
}

std::string excluded_by_name(std::string_view tensor_name) {
  if (is_norm(tensor_name)) return "norm";
  const std::string name = lower(tensor_name);
  for (const Rule& rule : kRules) {
    if (matches(rule.pattern, name)) return std::string(rule.why) + " (" + rule.pattern + ")";
  }
  if (is_gpt2_conv1d(tensor_name)) return "GPT-2 layer name: may be a Conv1D, whose input dimension is not the last";
  return "";
}

std::string without_numbers(std::string_view tensor_name) {
  std::string result;
  for (size_t begin = 0; begin <= tensor_name.size();) {
    const size_t end = std::min(tensor_name.find('.', begin), tensor_name.size());
    const std::string_view part = tensor_name.substr(begin, end - begin);
    if (begin > 0) result += '.';
    result.append(is_number(part) ? "0" : part);
    begin = end + 1;
  }
  return result;
}

bool is_quantized_name(std::string_view tensor_name) {
  return std::any_of(std::begin(kQuantizedNames), std::end(kQuantizedNames), [&](const char* end) { return tensor_name.ends_with(end); });
}

std::string experts_module(std::string_view tensor_name) {
  size_t end = 0;
  const std::vector<std::string_view> parts = split(tensor_name);
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    end += parts[i].size() + (i ? 1 : 0);
    if (parts[i].ends_with("experts") && is_number(parts[i + 1])) return std::string(tensor_name.substr(0, end));
  }
  return "";
}

std::string stack_module(std::string_view tensor_name) {
  if (const size_t at = tensor_name.rfind("experts."); at != std::string_view::npos) return std::string(tensor_name.substr(0, at + 7));
  if (tensor_name.ends_with(".weight")) tensor_name.remove_suffix(7);
  return std::string(tensor_name);
}

FusedSet fused_set(std::string_view module) {
  const size_t dot = module.rfind('.');
  const size_t begin = dot == std::string_view::npos ? 0 : dot + 1;
  const std::string_view layer = module.substr(begin);
  for (const std::vector<std::string>& members : kFusedSets) {
    if (std::find(members.begin(), members.end(), layer) != members.end()) return {std::string(module.substr(0, begin)), &members};
  }
  return {};
}

}  // namespace nvfp4cal::checkpoint
