// 3-D stacks of experts, which are written as one 2-D weight for each expert and projection where the layout is known. docs/checkpoint.md,
// "Stacks of experts".
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/safetensors_header.h"

namespace nvfp4cal::checkpoint {

bool is_stack(const TensorEntry& tensor);

// A weight [N, K] inside a stack: element [r, c] is element first + r * row_step + c * col_step of the stack.
struct StackPart {
  std::string name;  // "a.mlp.experts.3.gate_proj.weight"
  int64_t rows, cols, first, row_step, col_step;
};

// By stack: what it is made of, or why that is not known.
struct StackLayout {
  std::vector<StackPart> parts;
  std::string unknown;
};

// config: the model's config.json, null if there is none. Pairs of `<module>.gate_up_proj` and `<module>.down_proj` are taken apart if the model type
// is one whose stacks are known and one of its layouts fits both shapes.
std::map<const TensorEntry*, StackLayout> stack_layouts(const std::vector<const TensorEntry*>& tensors,
                                                        const nlohmann::ordered_json& config);

}  // namespace nvfp4cal::checkpoint
