// The folder that a run writes: files get their names all at once, at the end, or not at all.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/file.h"

namespace nvfp4cal::checkpoint {

inline constexpr const char* kTemporarySuffix = ".nvfp4cal-tmp";

class OutputFolder {
 public:
  // Makes the folder, or takes an empty one. kInvalidArgument: it holds something, is `input`, or one of them lies inside the other.
  OutputFolder(const std::string& path, const std::string& input);
  // What the constructor refuses, with nothing made.
  static void check(const std::string& path, const std::string& input);
  // Without commit(): removes every file of this run, and the folder if the run has made it.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // A file under a temporary name; the caller finishes it.
  File create(const std::string& name);
  void write(const std::string& name, const std::string& text);
  // Gives the files their names, in the order they were created, and syncs the folder.
  void commit();

 private:
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }

  std::string path_;
  bool made_ = false;
  bool committed_ = false;
  std::vector<std::string> names_;
  size_t renamed_ = 0;  // the first ones have their final name
};

}  // namespace nvfp4cal::checkpoint
