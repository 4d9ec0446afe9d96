// One run of a job, step by step: run.cpp finds out what is to be done, run_write.cpp does it.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/model_files.h"
#include "checkpoint/hessian_folder.h"
#include "checkpoint/monitor.h"
#include "checkpoint/output_folder.h"
#include "checkpoint/output_format.h"
#include "checkpoint/report.h"
#include "checkpoint/sources.h"
#include "checkpoint/tensor_pass.h"

namespace nvfp4cal::checkpoint {

class Run {
 public:
  Run(const Execution& execution, const Options& options, Monitor& monitor);

  // Returns the report.
  std::string run(const std::string& input, const std::string& output);

 private:
  // A file that is to be written: the sources of one shard.
  struct OutputShard {
    const Shard* shard;
    size_t first_source, end_source;
    std::vector<TensorEntry> entries;  // of one source after the other, with their places
    std::vector<size_t> first_entry;   // by source, from first_source on: of its entries
    std::string header;                // the first bytes of the file
    int64_t size() const { return static_cast<int64_t>(header.size()) + data_size(entries); }
    // Where entry k of a source lies in the file.
    int64_t place(size_t source, size_t k) const {
      return static_cast<int64_t>(header.size()) + entries[first_entry[source - first_source] + k].begin;
    }
  };

  // Everything that can be refused without reading weights or writing anything.
  void prepare(const std::string& input);
  void read_config(const std::string& input);
  void find_hessians();
  OutputShard plan_output(const Shard& shard, size_t first_source) const;
  void add_entries(OutputShard& shard) const;
  void count_bytes();
  // Modules that have a Hessian, with the size and time of change of its file.
  using HessianStamps = std::map<std::string, std::pair<int64_t, int64_t>>;
  HessianStamps hessian_stamps() const;
  void check_hessians(const HessianStamps& before) const;
  // What the output depends on.
  std::string key(const HessianStamps& hessians) const;

  void write(const std::string& input, const std::string& output);
  // Amaxes of the groups that have members in several shards.
  void find_shared_amaxes(OutputFolder& output);
  // Those of these sources that are quantized and whose group is not known yet.
  void find_amaxes(const std::vector<size_t>& sources);
  void warn_of_small_groups();
  void write_shard(const OutputShard& planned, OutputFolder& output);
  // What is dealt with together: whole groups, so few of them that what was read for the amaxes is still there to be quantized, and a share of the
  // bytes that are copied.
  struct Portion {
    std::vector<size_t> sources;
    int64_t bytes = 0;  // of them
    std::vector<CopyTask> copies;
  };
  std::vector<Portion> portions_of(const OutputShard& planned) const;
  // To each portion as many of the shard's copies as it has bytes that are quantized.
  void add_copies(const OutputShard& planned, std::vector<Portion>& portions) const;
  void write_portion(const Portion& portion, const OutputShard& planned, OutputFile& file);
  int64_t bytes_of(size_t source) const;
  // The global and input scales of those that are quantized.
  void write_scalars(const std::vector<size_t>& sources, const OutputShard& planned, OutputFile& file) const;
  // The shards that a killed run has not finished, if there is room for them.
  std::vector<const OutputShard*> unfinished(OutputFolder& output, const std::string& path);
  bool keep_shard(const OutputShard& planned, OutputFolder& output);
  // Syncs a file on a thread of its own while the next one is computed.
  void finish_later(std::shared_ptr<OutputFile> file, OutputFolder& output, const std::string& name, FinishedShard shard);
  void wait_for_finish();
  void write_index(OutputFolder& output);
  void write_configs(OutputFolder& output);

  const PlannedTensor& planned(size_t source) const { return result_.plan.tensors[source]; }
  QuantizationInfo info() const { return {result_.plan.excluded_modules, options_.quantizes_inputs()}; }

  const Options& options_;
  const OutputFormat& format_;
  Monitor& monitor_;
  TensorPass pass_;
  HessianFolder hessians_;
  ModelFiles model_;
  std::string config_;  // the text of the output's config.json; empty: the model has none
  std::unique_ptr<PlannedSources> sources_;
  std::vector<bool> amax_known_;  // by group
  std::vector<OutputShard> outputs_;
  RunResult result_;
  std::future<void> finishing_;
};

}  // namespace nvfp4cal::checkpoint
