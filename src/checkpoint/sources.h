// The weights of a model as they will be written: tensors of its files, and the experts of stacks that are taken apart.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/expert_stacks.h"
#include "checkpoint/model_files.h"
#include "checkpoint/plan.h"

namespace nvfp4cal::checkpoint {

struct Source {
  const Shard* shard;
  const TensorEntry* stored;
  TensorEntry entry;                      // *stored, or name, dtype and shape of a part of it
  const StackPart* part;                  // NULL: all of it
  int64_t element(int64_t index) const {  // of the stored tensor, for an element of the weight in row-major order
    if (!part) return index;
    return part->first + index / part->cols * part->row_step + index % part->cols * part->col_step;
  }
};

// Sources in the order of the files, with their plan.
class PlannedSources {
 public:
  // Throws as make_plan().
  PlannedSources(const ModelFiles& model, const nlohmann::ordered_json& config, const LayerRules& rules);
  PlannedSources(const PlannedSources&) = delete;
  PlannedSources& operator=(const PlannedSources&) = delete;

  const std::vector<Source>& all() const { return sources_; }
  const Plan& plan() const { return plan_; }

 private:
  void list(const ModelFiles& model);
  // Stacks of which not all parts are quantized stay whole. False: there is none.
  bool keep_mixed_stacks();

  std::map<const TensorEntry*, StackLayout> layouts_;
  std::vector<Source> sources_;
  Plan plan_;
};

}  // namespace nvfp4cal::checkpoint
