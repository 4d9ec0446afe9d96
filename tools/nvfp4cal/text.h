// Names and numbers for people.
#pragma once

#include <cstdint>
#include <string>

namespace nvfp4cal_tool {

// Control characters become spaces: a terminal would obey them.
std::string printable(std::string text);

// One line on stderr: "nvfp4cal: <message>".
void print_error(const std::string& message);

// 1234567 -> "1.23 M"; with a unit "1.23 MB".
std::string short_number(double value, const char* unit = "");

// 75.3 -> "1 min 15 s".
std::string duration(double seconds);

// "1 layer", "2 layers".
std::string counted(int64_t n, const char* noun);

// The kind of a layer: what follows the layer number, other numbers as *:
// "mlp.experts.*.up_proj" of "model.layers.3.mlp.experts.7.up_proj.weight".
std::string layer_kind(const std::string& tensor_name);

}  // namespace nvfp4cal_tool
