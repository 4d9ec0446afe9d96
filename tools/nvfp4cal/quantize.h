// The command `nvfp4cal quantize`.
#pragma once

#include <string>

namespace nvfp4cal_tool {

// Exit codes of the tool.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitSignal = 128;  // + the signal's number: 130 after Ctrl-C

struct QuantizeOptions {
  std::string input, output;
  std::string method = "mse";
  std::string format = "modelopt";
  int threads = 0;     // 0: the library's default
  std::string report;  // a file; empty: none
  bool quiet = false;
};

int quantize(const QuantizeOptions& options);

// One line on stderr: "nvfp4cal: <message>", control characters as spaces.
void print_error(const std::string& message);

}  // namespace nvfp4cal_tool
