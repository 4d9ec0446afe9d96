// The report of a run as a short table for people.
#pragma once

#include <string>

namespace nvfp4cal_tool {

// The table on stdout. False if it could not be written.
bool print_summary(const std::string& report_json);
// The report's warnings on stderr.
void print_warnings(const std::string& report_json);

// Control characters become spaces: a terminal would obey them.
std::string printable(std::string text);

// The kind of a layer: what follows the layer number, other numbers as *:
// "mlp.experts.*.up_proj" of "model.layers.3.mlp.experts.7.up_proj.weight".
std::string layer_kind(const std::string& tensor_name);

}  // namespace nvfp4cal_tool
