// Reports as text: one member a line, and of lists and of objects inside them one item a line, since large models have tens of thousands.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace nvfp4cal::checkpoint {

// Bytes that are no UTF-8 (names of files) are replaced. Ends with a newline.
std::string report_text(const nlohmann::ordered_json& report);

// The first members of every report.
nlohmann::ordered_json report_head(const char* kind);

}  // namespace nvfp4cal::checkpoint
