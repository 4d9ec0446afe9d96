#pragma once

namespace nvfp4cal_tool {

// Exit codes of the tool.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // also: defects or differences were found
inline constexpr int kExitUsage = 2;
inline constexpr int kExitSignal = 128;  // + the signal's number: 130 after Ctrl-C

}  // namespace nvfp4cal_tool
