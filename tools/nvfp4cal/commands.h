// The commands of the tool. Each returns an exit code.
#pragma once

#include <string>
#include <vector>

#include "job.h"

namespace nvfp4cal_tool {

struct QuantizeOptions {
  CommonOptions common;
  std::string input, output;
  std::string method = "mse", format = "modelopt";
  std::vector<std::string> include, exclude, fuse_groups;  // patterns
  std::string input_scale;                                 // a number; empty: none
  std::string input_scales;                                // a file; empty: none
  std::string hessians;                                    // a folder; empty: none
  std::string effort = "default";                          // of method gptq
  double damping = -1.0;                                   // of method gptq; negative: the library's default
  bool dry_run = false;
  std::string report;  // a file; empty: none
};

struct InspectOptions {
  CommonOptions common;
  std::string folder;
};

struct VerifyOptions {
  CommonOptions common;
  std::string original, quantized;
  double max_error = -1.0;  // relative, of the model; negative: none
};

struct ConvertOptions {
  CommonOptions common;
  std::string input, output, format;
};

int quantize(const QuantizeOptions& options);
int inspect(const InspectOptions& options);
int verify(const VerifyOptions& options);
int convert(const ConvertOptions& options);

}  // namespace nvfp4cal_tool
