// Scales of the inputs of layers (W4A4), as the caller gives them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "checkpoint/options.h"
#include "checkpoint/plan.h"

namespace nvfp4cal::checkpoint {

// kInvalidArgument unless it and its reciprocal are, in float32, normal numbers above 0. `what` names it.
void check_input_scale(const std::string& what, double scale);

// Reads a JSON object: module -> scale.
std::map<std::string, float> read_input_scales(const std::string& path);

// The scale of each group's input: the largest of its members'. Empty if inputs are not quantized. kInvalidArgument names a layer without a
// scale, or one in the file that is not quantized.
std::vector<float> input_scales_of_groups(const Options& options, const Plan& plan);

}  // namespace nvfp4cal::checkpoint
