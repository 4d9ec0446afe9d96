#include "report_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace nvfp4cal_tool {

namespace fs = std::filesystem;

namespace {

// Without links in the part that exists, and without a slash at the end.
fs::path real_path(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(fs::absolute(path, error), error);
  return real.has_filename() ? real : real.parent_path();
}

}  // namespace

ReportFile::~ReportFile() {
  if (!file_) return;
  std::fclose(file_);
  if (temporary_ != path_) std::remove(temporary_.c_str());
}

bool ReportFile::lies_in(const std::string& folder) const {
  if (path_.empty() || folder.empty()) return false;
  const fs::path file = fs::absolute(path_), real_folder = real_path(folder);
  std::error_code error;
  // From the file itself, which may be named like the folder, upwards. A link at its end is replaced, not followed.
  for (fs::path at = real_path(file.parent_path().string()) / file.filename(); at.has_relative_path(); at = at.parent_path()) {
    if (at == real_folder || fs::equivalent(at, folder, error)) return true;
  }
  return false;
}

std::string ReportFile::open() {
  if (path_.empty()) return "";
  std::error_code error;
  if (fs::is_directory(path_, error)) return std::strerror(EISDIR);
  // Devices and pipes (/dev/stdout) are written as they are.
  if (fs::exists(path_, error) && !fs::is_regular_file(path_, error)) temporary_ = path_;
  file_ = std::fopen(temporary_.c_str(), "wb");
  return file_ ? "" : std::strerror(errno);
}

std::string ReportFile::write(const std::string& text) {
  if (path_.empty()) return "";
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), file_) == text.size() && std::fflush(file_) == 0;
  if (!written) return std::strerror(errno);
  if (temporary_ != path_ && std::rename(temporary_.c_str(), path_.c_str()) != 0) return std::strerror(errno);
  std::fclose(file_);
  file_ = nullptr;
  return "";
}

}  // namespace nvfp4cal_tool
