// The file of --report: written under a temporary name beside it, and renamed.
#pragma once

#include <cstdio>
#include <string>
#include <utility>

namespace nvfp4cal_tool {

// Does nothing for an empty path.
class ReportFile {
 public:
  explicit ReportFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".nvfp4cal-tmp") {}
  ~ReportFile();
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;

  // True if the file is this folder, which need not exist, or lies anywhere in it.
  bool lies_in(const std::string& folder) const;
  // Both return what went wrong, in the system's words; empty: nothing.
  std::string open();
  std::string write(const std::string& text);

 private:
  std::string path_, temporary_;
  std::FILE* file_ = nullptr;
};

}  // namespace nvfp4cal_tool
