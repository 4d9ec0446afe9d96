#include "checkpoint/plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "checkpoint/expert_stacks.h"
#include "checkpoint/layer_patterns.h"
#include "checkpoint/name_rules.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr const char* kAlone = "linear layer";
constexpr const char* kNotIncluded = "not included";

class Patterns {
 public:
  explicit Patterns(const LayerRules& rules)
      : include("include", rules.include), exclude("exclude", rules.exclude), fuse("fuse group", rules.fuse) {}
  // excluded_by_name(), asked once for names that differ in numbers.
  const std::string& excluded(const std::string& name) {
    const auto [found, fresh] = excluded_.try_emplace(without_numbers(name));
    if (fresh) found->second = excluded_by_name(name);
    return found->second;
  }

  LayerPatterns include, exclude, fuse;

 private:
  std::map<std::string, std::string> excluded_;
};

// What the name says against a layer: the caller's patterns before the list of names.
std::string why_not_by_name(const std::string& name, Patterns& patterns) {
  const std::string* excluded = patterns.exclude.find(name);
  const std::string* included = patterns.include.find(name);
  if (excluded) return "excluded (" + *excluded + ")";
  if (!patterns.include.empty() && !included) return kNotIncluded;
  return patterns.include.names(name) ? "" : patterns.excluded(name);
}

// Why the tensor is copied; empty: it is quantized.
std::string why_copied(const TensorEntry& tensor, Patterns& patterns) {
  const size_t ndim = tensor.shape.size();
  if (is_stack(tensor)) {
    patterns.exclude.find(tensor.name);  // it has something to exclude
    return "3-D stack of experts";
  }
  if (tensor.name.ends_with(".bias")) return "bias";
  if (!tensor.name.ends_with(kWeightSuffix)) return "not a .weight";
  if (ndim != 2) return std::to_string(ndim) + "-D";
  Dtype dtype;
  if (!quantizable_dtype(*tensor.dtype, dtype)) return std::string("dtype ") + tensor.dtype->name;
  if (std::string reason = why_not_by_name(tensor.name, patterns); !reason.empty()) return reason;
  if (tensor.shape[0] == 0 || tensor.shape[1] == 0) return "no elements";
  if (tensor.shape[1] % kBlock != 0) return "the last dimension " + std::to_string(tensor.shape[1]) + " is not a multiple of 16";
  return "";
}

// Of a model of which nothing is quantized: the layer to look at, or the pattern.
std::string why_nothing(const Plan& plan, const Patterns& patterns) {
  if (plan.tensors.empty()) return "it is empty";
  // all matrices but those that the caller did not ask for
  const auto asked_for = std::find_if(plan.tensors.begin(), plan.tensors.end(), [](const PlannedTensor& tensor) {
    return tensor.entry->shape.size() == 2 && tensor.entry->name.ends_with(kWeightSuffix) && tensor.reason != kNotIncluded;
  });
  std::vector<std::string> unused;
  patterns.include.warn_of_unused(unused);
  if (asked_for == plan.tensors.end() && !unused.empty()) return unused[0];
  const PlannedTensor& example = asked_for == plan.tensors.end() ? plan.tensors[0] : *asked_for;
  return in_quotes(example.entry->name) + ": " + example.reason;
}

void refuse_quantized(const std::vector<const TensorEntry*>& tensors) {
  for (const TensorEntry* tensor : tensors) {
    if (is_quantized_name(tensor->name)) {
      fail(Status::kInvalidArgument, "the model is already quantized: it has a tensor %s", in_quotes(tensor->name).c_str());
    }
  }
}

// An expert's weight and a stack of experts belong to one layer of the engine: it is quantized or it is not. Without this, the engine
// would look for the scales of experts that have none.
void copy_mixed_experts(Plan& plan) {
  std::unordered_map<std::string, const PlannedTensor*> causes;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.quantize) continue;
    const std::string module = is_stack(*tensor.entry) ? stack_module(tensor.entry->name) : experts_module(tensor.entry->name);
    const bool decides = is_stack(*tensor.entry) || (tensor.entry->shape.size() == 2 && tensor.entry->name.ends_with(kWeightSuffix));
    if (!module.empty() && decides && !is_norm(tensor.entry->name)) causes.emplace(module, &tensor);
  }
  for (PlannedTensor& tensor : plan.tensors) {
    if (!tensor.quantize) continue;
    const auto cause = causes.find(experts_module(tensor.entry->name));
    if (cause == causes.end()) continue;
    tensor.quantize = false;
    tensor.reason = "of the same experts as " + in_quotes(cause->second->entry->name) + ", which is copied: " + cause->second->reason;
  }
}

std::string group_name(const std::string& prefix, const std::vector<std::string>& layers) {
  if (layers.size() == 1) return prefix + layers[0];
  std::string name = prefix + "{";
  for (size_t i = 0; i < layers.size(); ++i) name += (i ? "," : "") + layers[i];
  return name + "}";
}

class Grouper {
 public:
  Grouper(Plan& plan, LayerPatterns& fuse) : plan_(plan) {
    plan.groups.clear();
    for (size_t i = 0; i < plan.tensors.size(); ++i) by_name_.emplace(plan.tensors[i].entry->name, i);
    for (PlannedTensor& tensor : plan.tensors) tensor.group = -1;
    find_callers_sets(fuse);
  }

  // Finds each set once, by its first member in the input.
  void run() {
    for (size_t i = 0; i < plan_.tensors.size(); ++i) {
      const std::string& name = plan_.tensors[i].entry->name;
      if (done_.count(i) || !name.ends_with(kWeightSuffix)) continue;
      const std::string module = module_of(name);
      if (const auto callers = callers_.find(i); callers != callers_.end()) {
        add_set(callers->second->first.first, callers->second->second);
        continue;
      }
      const FusedSet set = fused_set(module);
      if (set.members) {
        add_set(set);
      } else if (plan_.tensors[i].quantize) {
        add_group(module, {i});
      }
    }
  }

 private:
  using CallersSets = std::map<std::pair<std::string, size_t>, std::vector<size_t>>;  // by prefix and pattern

  // Layers that one pattern matches and whose names differ in the last part alone.
  void find_callers_sets(LayerPatterns& fuse) {
    if (fuse.empty()) return;
    for (size_t i = 0; i < plan_.tensors.size(); ++i) {
      const TensorEntry& tensor = *plan_.tensors[i].entry;
      if (!tensor.name.ends_with(kWeightSuffix) || tensor.shape.size() != 2 || is_norm(tensor.name)) continue;
      const std::string* pattern = fuse.find(tensor.name);
      if (!pattern) continue;
      const std::string module = module_of(tensor.name);
      sets_[{module.substr(0, module.rfind('.') + 1), fuse.index_of(pattern)}].push_back(i);
    }
    for (auto set = sets_.begin(); set != sets_.end(); ++set) {
      for (const size_t i : set->second) callers_.emplace(i, set);
    }
  }

  void add_set(const FusedSet& set) {
    std::vector<size_t> members;
    for (const std::string& layer : *set.members) {
      const auto found = by_name_.find(set.prefix + layer + kWeightSuffix);
      if (found != by_name_.end() && !callers_.count(found->second)) members.push_back(found->second);
    }
    add_set(set.prefix, members);
  }

  void add_set(const std::string& prefix, const std::vector<size_t>& members) {
    std::vector<std::string> layers;
    for (const size_t m : members) {
      layers.push_back(module_of(plan_.tensors[m].entry->name).substr(prefix.size()));
      done_.insert(m);
    }
    // Engines fuse the members into one layer: it is quantized or it is not.
    const auto copied = std::find_if(members.begin(), members.end(), [&](size_t m) { return !plan_.tensors[m].quantize; });
    if (copied == members.end()) return add_group(group_name(prefix, layers), members);
    const PlannedTensor& cause = plan_.tensors[*copied];
    const std::string reason = "fused with " + in_quotes(cause.entry->name) + ", which is copied: " + cause.reason;
    for (const size_t m : members) {
      PlannedTensor& member = plan_.tensors[m];
      if (!member.quantize) continue;
      member.quantize = false;
      member.reason = reason;
    }
  }

  void add_group(const std::string& name, const std::vector<size_t>& members) {
    for (const size_t m : members) {
      plan_.tensors[m].group = static_cast<int>(plan_.groups.size());
      if (members.size() > 1) plan_.tensors[m].reason = "linear layer, one of a fused group";
    }
    plan_.groups.push_back({name, members});
  }

  Plan& plan_;
  std::unordered_map<std::string_view, size_t> by_name_;
  std::unordered_set<size_t> done_;
  CallersSets sets_;
  std::unordered_map<size_t, CallersSets::iterator> callers_;  // by member
};

int64_t count_quantized(const Plan& plan) {
  return std::count_if(plan.tensors.begin(), plan.tensors.end(), [](const PlannedTensor& tensor) { return tensor.quantize; });
}

// The excluded module whose name lies inside `name`, from the first letter of a component on; empty if there is none.
std::string_view excluded_inside(std::string_view name, const std::unordered_set<std::string_view>& excluded,
                                 const std::set<size_t>& lengths) {
  for (size_t begin = 0;;) {
    for (const size_t n : lengths) {
      if (begin + n <= name.size() && excluded.count(name.substr(begin, n))) return name.substr(begin, n);
    }
    const size_t dot = name.find('.', begin);
    if (dot == std::string_view::npos) return {};
    begin = dot + 1;
  }
}

// vLLM takes an excluded name anywhere inside a module's name for a match, and leaves the module unquantized.
void warn_of_substrings(Plan& plan) {
  const std::unordered_set<std::string_view> excluded(plan.excluded_modules.begin(), plan.excluded_modules.end());
  std::set<size_t> lengths;
  for (const std::string_view name : excluded) lengths.insert(name.size());
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.quantize) continue;
    const std::string name = module_of(tensor.entry->name);
    const std::string_view inside = excluded_inside(name, excluded, lengths);
    if (inside.empty()) continue;
    plan.warnings.push_back("the excluded module " + in_quotes(inside) + " is part of the name of the quantized module " + in_quotes(name) +
                            ": vLLM may treat both as excluded");
  }
}

void warn_of_fused_on_disk(Plan& plan) {
  int64_t count = 0;
  std::string first;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.quantize || !(matches("*qkv_proj.weight", tensor.entry->name) || matches("*gate_up_proj.weight", tensor.entry->name)))
      continue;
    if (count++ == 0) first = tensor.entry->name;
  }
  if (count == 0) return;
  plan.warnings.push_back(std::to_string(count) + " layers are stored fused (" + in_quotes(first) +
                          "): some releases of vLLM and SGLang read the global scale of such layers wrongly");
}

int percent(double part, double whole) { return whole > 0.0 ? static_cast<int>(100.0 * part / whole + 0.5) : 0; }

void warn_of_stacks(Plan& plan) {
  int64_t stacks = 0;
  double in_stacks = 0.0, quantized = 0.0, all = 0.0;  // elements: doubles, sums of which cannot overflow
  for (const PlannedTensor& tensor : plan.tensors) {
    const double n = static_cast<double>(tensor.entry->elements());
    all += n;
    if (tensor.quantize) quantized += n;
    if (!is_stack(*tensor.entry)) continue;
    ++stacks;
    in_stacks += n;
  }
  if (stacks == 0) return;
  plan.warnings.push_back(std::to_string(stacks) +
                          (stacks == 1 ? " stack of experts stays unquantized: it is " : " stacks of experts stay unquantized: they are ") +
                          std::to_string(percent(in_stacks, all)) + " % of the model's elements");
  if (quantized < all / 2.0) {
    plan.warnings.push_back("only " + std::to_string(percent(quantized, all)) + " % of the model's elements were quantized");
  }
}

// Modules that engines must not take for quantized: those with a 2-D weight that was copied, and those that hold stacks of experts.
std::vector<std::string> excluded_modules(const Plan& plan) {
  std::set<std::string> modules;
  for (const PlannedTensor& tensor : plan.tensors) {
    const std::string& name = tensor.entry->name;
    if (is_stack(*tensor.entry)) {
      modules.insert(stack_module(name));
    } else if (!tensor.quantize && name.ends_with(kWeightSuffix) && tensor.entry->shape.size() == 2 && !is_norm(name)) {
      modules.insert(module_of(name));
    }
  }
  modules.erase("");  // vLLM finds the empty name inside every other one
  return {modules.begin(), modules.end()};
}

}  // namespace

std::string module_of(const std::string& tensor_name) {
  return tensor_name.substr(0, tensor_name.size() - std::string_view(kWeightSuffix).size());
}

bool quantizable_dtype(const StoredDtype& stored, Dtype& out) {
  const std::string_view name = stored.name;
  if (name == "F32") {
    out = Dtype::kF32;
  } else if (name == "BF16") {
    out = Dtype::kBf16;
  } else if (name == "F16") {
    out = Dtype::kF16;
  } else if (name == "F64") {
    out = Dtype::kF64;
  } else {
    return false;
  }
  return true;
}

Plan make_plan(const std::vector<const TensorEntry*>& tensors, const LayerRules& rules) {
  refuse_quantized(tensors);
  Patterns patterns(rules);
  Plan plan;
  for (const TensorEntry* tensor : tensors) {
    std::string reason = why_copied(*tensor, patterns);
    const bool quantize = reason.empty();
    plan.tensors.push_back({tensor, quantize, quantize ? kAlone : std::move(reason), -1});
  }
  // Experts and fused groups are quantized or copied as a whole; what one of the rules copies can lie in the other's way.
  for (int64_t before = -1; before != count_quantized(plan);) {
    before = count_quantized(plan);
    copy_mixed_experts(plan);
    Grouper(plan, patterns.fuse).run();
  }
  plan.excluded_modules = excluded_modules(plan);
  if (plan.groups.empty()) {
    fail(Status::kInvalidArgument, "no tensor of the model can be quantized (%zu tensors; %s)", tensors.size(),
         why_nothing(plan, patterns).c_str());
  }
  patterns.include.warn_of_unused(plan.warnings);
  patterns.exclude.warn_of_unused(plan.warnings);
  patterns.fuse.warn_of_unused(plan.warnings);
  warn_of_substrings(plan);
  warn_of_fused_on_disk(plan);
  warn_of_stacks(plan);
  return plan;
}

}  // namespace nvfp4cal::checkpoint
