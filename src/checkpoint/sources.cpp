#include "checkpoint/sources.h"

namespace nvfp4cal::checkpoint {

PlannedSources::PlannedSources(const ModelFiles& model, const nlohmann::ordered_json& config, const LayerRules& rules) {
  std::vector<const TensorEntry*> stored;
  for (const Shard& shard : model.shards) {
    for (const TensorEntry& tensor : shard.header.tensors) stored.push_back(&tensor);
  }
  layouts_ = stack_layouts(stored, config);
  do {
    list(model);
    std::vector<const TensorEntry*> entries;
    for (const Source& source : sources_) entries.push_back(&source.entry);
    plan_ = make_plan(entries, rules);
  } while (keep_mixed_stacks());
  for (size_t i = 0; i < sources_.size(); ++i) {
    const auto layout = layouts_.find(sources_[i].stored);
    if (layout == layouts_.end()) continue;
    std::string& reason = plan_.tensors[i].reason;
    if (sources_[i].part) {
      reason += ", an expert of a 3-D stack";
    } else {
      reason += ": " + layout->second.unknown;
    }
  }
}

void PlannedSources::list(const ModelFiles& model) {
  sources_.clear();
  for (const Shard& shard : model.shards) {
    for (const TensorEntry& tensor : shard.header.tensors) {
      const auto layout = layouts_.find(&tensor);
      if (layout == layouts_.end() || layout->second.parts.empty()) {
        sources_.push_back({&shard, &tensor, tensor, nullptr});
        continue;
      }
      for (const StackPart& part : layout->second.parts) {
        sources_.push_back({&shard, &tensor, {part.name, tensor.dtype, {part.rows, part.cols}, 0, 0}, &part});
      }
    }
  }
}

bool PlannedSources::keep_mixed_stacks() {
  bool found = false;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const Source& source = sources_[i];
    if (!source.part || plan_.tensors[i].quantize) continue;
    StackLayout& layout = layouts_[source.stored];
    if (layout.unknown.empty()) layout.unknown = "an expert would be copied: " + plan_.tensors[i].reason;
    found = true;
  }
  if (!found) return false;
  for (auto& [tensor, layout] : layouts_) {
    if (!layout.unknown.empty()) layout.parts.clear();
  }
  return true;
}

}  // namespace nvfp4cal::checkpoint
