// The table of errors by kind of layer, of runs and verifications.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace nvfp4cal_tool {

// One row for each kind of the layers (objects with name, shape and errors), in the order of the first one of each, and their total, on
// stdout. `title` heads the first column.
void print_kinds(const nlohmann::json& layers, const char* title);

}  // namespace nvfp4cal_tool
