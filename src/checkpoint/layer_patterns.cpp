#include "checkpoint/layer_patterns.h"

#include <algorithm>

#include "checkpoint/plan.h"
#include "checkpoint/text.h"

namespace nvfp4cal::checkpoint {

namespace {

std::string_view module_part(std::string_view tensor_name) {
  if (tensor_name.ends_with(kWeightSuffix)) tensor_name.remove_suffix(std::string_view(kWeightSuffix).size());
  return tensor_name;
}

}  // namespace

LayerPatterns::LayerPatterns(const char* what, const std::vector<std::string>& patterns) : what_(what) {
  for (const std::string& text : patterns) patterns_.push_back({Glob(text), false});
}

const std::string* LayerPatterns::find(const std::string& tensor_name) {
  const std::string_view module = module_part(tensor_name);
  const std::string* first = nullptr;
  for (Pattern& pattern : patterns_) {
    const bool found = pattern.glob.matches(module) || pattern.glob.matches(tensor_name);
    pattern.used = pattern.used || found;
    if (found && !first) first = &pattern.glob.text();
  }
  return first;
}

bool LayerPatterns::names(const std::string& tensor_name) const {
  const std::string_view module = module_part(tensor_name);
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const Pattern& pattern) { return pattern.glob.names(module) || pattern.glob.names(tensor_name); });
}

size_t LayerPatterns::index_of(const std::string* pattern) const {
  const auto found = std::find_if(patterns_.begin(), patterns_.end(), [&](const Pattern& p) { return &p.glob.text() == pattern; });
  return static_cast<size_t>(found - patterns_.begin());
}

void LayerPatterns::warn_of_unused(std::vector<std::string>& warnings) const {
  for (const Pattern& pattern : patterns_) {
    if (!pattern.used) warnings.push_back(std::string(what_) + " " + in_quotes(pattern.glob.text()) + " matches no layer");
  }
}

}  // namespace nvfp4cal::checkpoint
