// What happens to every tensor of a model, and why. A pure function of names, dtypes and shapes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/options.h"
#include "checkpoint/safetensors_header.h"
#include "core/dtype.h"

namespace nvfp4cal::checkpoint {

inline constexpr int64_t kBlock = 16;
inline constexpr const char* kWeightSuffix = ".weight";

struct PlannedTensor {
  const TensorEntry* entry;
  bool quantize;
  std::string reason;  // the rule that decided
  int group;           // of tensors that share a global scale; -1: copied
};

// Tensors that share one global amax; most have one member.
struct ScaleGroup {
  std::string name;             // "model.layers.0.mlp.{gate_proj,up_proj}"; a single member's module
  std::vector<size_t> members;  // of Plan::tensors
};

struct Plan {
  std::vector<PlannedTensor> tensors;  // in the order of the input
  std::vector<ScaleGroup> groups;
  std::vector<std::string> excluded_modules;  // of linear layers that were not quantized (and embeddings), sorted
  std::vector<std::string> warnings;
};

// Throws kInvalidArgument if the model is quantized already or nothing is left to quantize.
Plan make_plan(const std::vector<const TensorEntry*>& tensors, const LayerRules& rules = {});

// "a.b" of "a.b.weight".
std::string module_of(const std::string& tensor_name);

// The library's dtype of weights that can be quantized; false for others.
bool quantizable_dtype(const StoredDtype& stored, Dtype& out);

}  // namespace nvfp4cal::checkpoint
