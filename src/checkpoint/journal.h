// What a run has finished, so that the next one can go on after a kill. docs/checkpoint.md, "Going on after a kill".
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/file.h"

namespace nvfp4cal::checkpoint {

inline constexpr const char* kJournalName = ".nvfp4cal-journal";

// A shard that is complete and on the disk.
struct FinishedShard {
  int64_t size;
  uint64_t checksum;
  std::vector<double> results;  // of its quantized tensors (see Run::write_shard)
};

// The lines of a journal. Each is written and synced before what it says is relied upon; a last line that a kill cut short is not one.
class Journal {
 public:
  // Opens or makes the journal of a folder and locks it. kInvalidArgument: another run has it.
  explicit Journal(const std::string& folder);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // What an earlier run wrote.
  const std::string& key() const { return key_; }
  bool made_folder() const { return made_folder_; }
  const std::vector<float>& amaxes() const { return amaxes_; }
  const std::map<std::string, FinishedShard>& shards() const { return shards_; }
  // Names of the files that were being renamed when the run ended.
  const std::set<std::string>& committed() const { return committed_; }

  // Forgets all of it. The key says what the run depends on: another key, another run.
  void begin(const std::string& key, bool made_folder);
  void add_amaxes(const std::vector<float>& amaxes);
  void add_shard(const std::string& name, const FinishedShard& shard);
  void add_commit(const std::vector<std::string>& names);
  void remove();

 private:
  void read();
  void append(const nlohmann::ordered_json& line);

  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  std::string key_;
  bool made_folder_ = false;
  std::vector<float> amaxes_;
  std::map<std::string, FinishedShard> shards_;
  std::set<std::string> committed_;
};

}  // namespace nvfp4cal::checkpoint
