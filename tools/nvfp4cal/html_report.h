// The report of a run as one page that needs nothing else: data, charts and style are inside.
#pragma once

#include <string>

namespace nvfp4cal_tool {

// True for names that end in .html or .htm.
bool is_html_name(const std::string& path);

std::string html_report(const std::string& report_json);

}  // namespace nvfp4cal_tool
