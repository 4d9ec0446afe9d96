// The parts of the report's page, files of report_page/ as the build found them (embed.cmake).
#pragma once

#include <string_view>

namespace nvfp4cal_tool {

// Empty for names that are none.
std::string_view report_part(std::string_view name);

}  // namespace nvfp4cal_tool
