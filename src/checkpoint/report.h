// What a run did, as JSON. docs/checkpoint.md, "Report".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/other_files.h"
#include "checkpoint/plan.h"
#include "checkpoint/tensor_pass.h"

namespace nvfp4cal::checkpoint {

// A file of weights before and after, in bytes.
struct ShardSizes {
  std::string name;
  int64_t bytes_in, bytes_out;
};

struct RunResult {
  Plan plan;
  std::vector<float> global_amax;    // by group
  std::vector<SquaredError> errors;  // by tensor of the plan
  bool measured = false;
  bool detailed = false;  // errors have of_max, and there are counts
  ScaleCounts counts;
  bool dry_run = false;
  bool quantizes_inputs = false;
  std::vector<float> input_scales;  // by group, if inputs are quantized
  std::vector<ShardSizes> shards;
  int64_t shards_kept = 0;  // that a killed run had finished
  const char* format = "";  // the output format's name
  const char* method = "";
  const char* effort = "";  // of method gptq, as damping
  double damping = 0.0;
  std::vector<bool> has_hessian;  // by tensor of the plan
  std::string input, output;      // as the caller named them
  OtherFiles files;
  std::vector<std::string> warnings;
  int64_t bytes_in = 0, bytes_out = 0;  // of tensor data
  double seconds = 0.0;
};

std::string report_json(const RunResult& result);

}  // namespace nvfp4cal::checkpoint
