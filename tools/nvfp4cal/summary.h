// The report of a run as a short table for people.
#pragma once

#include <string>

namespace nvfp4cal_tool {

// On stdout; the report's warnings go to stderr.
void print_summary(const std::string& report_json);

// The kind of a layer: what follows the layer number, other numbers as *:
// "mlp.experts.*.up_proj" of "model.layers.3.mlp.experts.7.up_proj.weight".
std::string layer_kind(const std::string& tensor_name);

}  // namespace nvfp4cal_tool
