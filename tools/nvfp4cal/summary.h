// Reports as short tables for people. All print to stdout, and return false if that could not be written.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace nvfp4cal_tool {

// Of a run.
bool print_summary(const std::string& report_json);
bool print_inspection(const std::string& report_json);
bool print_verification(const std::string& report_json);
bool print_conversion(const std::string& report_json);

// A line with the report's files_left; nothing if there are none.
void print_left(const nlohmann::json& files);

// Any report as it is.
bool print_json(const std::string& report_json);

// The report's warnings, on stderr.
void print_warnings(const std::string& report_json);

}  // namespace nvfp4cal_tool
