// One run of a job, step by step.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "checkpoint/model_files.h"
#include "checkpoint/monitor.h"
#include "checkpoint/output_folder.h"
#include "checkpoint/output_format.h"
#include "checkpoint/report.h"
#include "checkpoint/tensor_pass.h"

namespace nvfp4cal::checkpoint {

class Run {
 public:
  Run(const Execution& execution, const Options& options, Monitor& monitor);

  // Returns the report.
  std::string run(const std::string& input, const std::string& output);

 private:
  // Everything that can be refused without reading weights or writing anything.
  void prepare(const std::string& input);
  // First pass: amaxes of all groups. Members may lie in different shards.
  void find_amaxes();
  void warn_of_small_groups();
  // A file that is to be written.
  struct OutputShard {
    const Shard* source;
    std::vector<TensorEntry> entries;  // with their places
    std::string header;                // the first bytes of the file
  };
  OutputShard plan_output(const Shard& shard);
  void write(const std::string& input, const std::string& output);
  // Second pass.
  void write_shard(const OutputShard& planned, OutputFolder& output);
  std::vector<TensorEntry> output_entries(const Shard& shard) const;
  void write_index(OutputFolder& output);
  void write_configs(OutputFolder& output);

  QuantizationInfo info() const { return {result_.plan.excluded_modules, options_.quantizes_inputs()}; }
  size_t planned(const TensorEntry& tensor) const { return positions_.at(&tensor); }

  const Options& options_;
  const OutputFormat& format_;
  Monitor& monitor_;
  TensorPass pass_;
  ModelFiles model_;
  std::string config_;                              // the text of the output's config.json; empty: the model has none
  std::map<const TensorEntry*, size_t> positions_;  // in the plan
  std::map<std::string, std::string> weight_map_;   // of the output
  std::vector<OutputShard> outputs_;
  RunResult result_;
};

}  // namespace nvfp4cal::checkpoint
