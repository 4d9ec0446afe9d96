// The files of a model folder beside its weights: tokenizers, configurations, licences.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "checkpoint/monitor.h"
#include "checkpoint/output_folder.h"

namespace nvfp4cal::checkpoint {

// Names are paths from the model's folder on.
struct OtherFiles {
  std::vector<std::string> carried;                       // copied byte for byte
  std::vector<std::pair<std::string, std::string>> left;  // name and why
  std::vector<std::string> warnings;
};

// Sorts the files of a folder and of those in it; `shards` and what the writer makes anew are in neither list.
OtherFiles list_other_files(const std::string& folder, const std::vector<std::string>& shards);

void carry_file(const std::string& input, const std::string& name, OutputFolder& output, Monitor& monitor);

}  // namespace nvfp4cal::checkpoint
