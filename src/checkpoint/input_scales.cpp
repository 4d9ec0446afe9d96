#include "checkpoint/input_scales.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "checkpoint/file.h"
#include "checkpoint/json.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

void check_input_scale(const std::string& what, double scale) {
  const float single = static_cast<float>(scale);
  if (std::isnormal(single) && single > 0.0f && std::isnormal(1.0f / single)) return;
  fail(Status::kInvalidArgument, "%s %g is not a positive float32 with a normal reciprocal", what.c_str(), scale);
}

std::map<std::string, float> read_input_scales(const std::string& path) {
  const nlohmann::ordered_json object = parse_json(path, read_text_file(path));
  std::map<std::string, float> scales;
  for (const auto& [layer, value] : object.items()) {
    const std::string what = path + ": the input scale of " + in_quotes(layer);
    if (!value.is_number()) fail(Status::kInvalidArgument, "%s is not a number", what.c_str());
    const double scale = value.get<double>();
    check_input_scale(what, scale);
    scales.emplace(layer, static_cast<float>(scale));
  }
  return scales;
}

std::vector<float> input_scales_of_groups(const Options& options, const Plan& plan) {
  if (!options.quantizes_inputs()) return {};
  std::set<std::string> unknown;
  for (const auto& [layer, scale] : options.input_scales) unknown.insert(layer);
  std::vector<float> result;
  for (const ScaleGroup& group : plan.groups) {
    float largest = 0.0f;
    for (const size_t member : group.members) {
      const std::string module = module_of(plan.tensors[member].entry->name);
      const auto found = options.input_scales.find(module);
      unknown.erase(module);
      if (found == options.input_scales.end() && options.input_scale == 0.0f) {
        fail(Status::kInvalidArgument, "%s has no input scale for the layer %s", options.input_scales_file.c_str(),
             in_quotes(module).c_str());
      }
      largest = std::max(largest, found == options.input_scales.end() ? options.input_scale : found->second);
    }
    result.push_back(largest);
  }
  if (unknown.empty()) return result;
  fail(Status::kInvalidArgument, "%s has an input scale for %s, which is no quantized layer of the model",
       options.input_scales_file.c_str(), in_quotes(*unknown.begin()).c_str());
}

}  // namespace nvfp4cal::checkpoint
