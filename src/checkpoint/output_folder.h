// The folder that a run writes: files get their names all at once, at the end, or not at all.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/journal.h"
#include "checkpoint/monitor.h"
#include "checkpoint/output_file.h"

namespace nvfp4cal::checkpoint {

inline constexpr const char* kTemporarySuffix = ".nvfp4cal-tmp";

class OutputFolder {
 public:
  // Makes the folder, or takes an empty one. kInvalidArgument: it holds something, is `input`, or one of them lies inside the other.
  OutputFolder(const std::string& path, const std::string& input);
  // The same with a journal: goes on in a folder where a run of the same key was killed, and clears what a run of another key left there.
  OutputFolder(const std::string& path, const std::string& input, const std::string& key);
  // What a constructor with a key refuses, with nothing made.
  static void check(const std::string& path, const std::string& input);
  // Without commit(): removes every file of this run and of the one before it, and the folder if one of them has made it.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // A file under a temporary name; the caller finishes it. The name may be a path: its folders are made by commit().
  File create(const std::string& name);
  void write(const std::string& name, const std::string& text);
  // Gives the files their names, in the order they were created, and syncs the folder.
  void commit();

  // ---- with a journal ----

  Journal& journal() { return *journal_; }
  // What an earlier run finished under this name, after a look at all its bytes; it is one of this run's files then. What it did not
  // finish is removed.
  std::optional<FinishedShard> keep(const std::string& name, Monitor& monitor);
  // The last created file, or any of them by name, is on the disk.
  void finished(const std::string& name, const FinishedShard& shard) { journal_->add_shard(name, shard); }

 private:
  struct Entry {
    std::string name;
    bool renamed;
  };
  void make(const std::string& path);
  void clear_leftovers();
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }
  std::string path_of(const Entry& entry) const { return entry.renamed ? path_of(entry.name) : temporary_of(entry.name); }
  // In the output folder itself, also for a file of a folder inside it.
  std::string temporary_of(const std::string& name) const;
  void make_folders_of(const std::string& name);
  void remove_folders_of(const std::string& name) const;

  std::string path_;
  bool made_ = false;
  bool committed_ = false;
  std::vector<Entry> entries_;
  std::unique_ptr<Journal> journal_;
};

}  // namespace nvfp4cal::checkpoint
