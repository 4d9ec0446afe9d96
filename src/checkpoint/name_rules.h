// What the name of a tensor says: which layers stay as they are, and which share a global scale. docs/checkpoint.md, "What is quantized".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nvfp4cal::checkpoint {

// `*` stands for any characters, `?` for one, all else for itself.
bool matches(std::string_view pattern, std::string_view text);

// ASCII letters in lower case.
std::string lower(std::string_view text);

// Why a layer of this name is never quantized: "router or gate (*.gate.weight)"; empty if nothing speaks against it.
std::string excluded_by_name(std::string_view tensor_name);

// The name with 0 for each of its parts that is a number: the rules say the same of both, and layers and experts that differ in numbers become one.
std::string without_numbers(std::string_view tensor_name);

// True for names of norms, whose weights are no linear layers whatever their shape.
bool is_norm(std::string_view tensor_name);

// True for names that only quantized checkpoints hold, like "a.weight_scale".
bool is_quantized_name(std::string_view tensor_name);

// "a.mlp.experts" of "a.mlp.experts.3.up_proj.weight"; empty for names without a numbered expert.
std::string experts_module(std::string_view tensor_name);
// "a.mlp.experts" of the 3-D stack "a.mlp.experts.gate_up_proj"; the name itself, without .weight, if no part of it is `...experts`.
std::string stack_module(std::string_view tensor_name);

// The set of layers that engines fuse with this one: prefix and the names of all possible members ("gate_proj", "up_proj"). Empty if none.
struct FusedSet {
  std::string prefix;  // "model.layers.0.mlp." of "model.layers.0.mlp.up_proj"
  const std::vector<std::string>* members = nullptr;
};
FusedSet fused_set(std::string_view module);

}  // namespace nvfp4cal::checkpoint
