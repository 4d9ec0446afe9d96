#include "checkpoint/output_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

// Refuses a folder that is in use. `info` is its stat.
void check_unused(const std::string& path, const struct stat& info, const std::string& input) {
  struct stat input_info;
  if (!S_ISDIR(info.st_mode)) fail(Status::kInvalidArgument, "the output %s is not a folder", path.c_str());
  if (stat(input.c_str(), &input_info) == 0 && input_info.st_dev == info.st_dev && input_info.st_ino == info.st_ino) {
    fail(Status::kInvalidArgument, "the output folder %s is the input folder", path.c_str());
  }
  std::error_code error;
  const std::filesystem::directory_iterator first(path, error);
  if (error) fail_system("read", path, error.value());
  if (first != std::filesystem::directory_iterator()) {
    fail(Status::kInvalidArgument, "the output folder %s is not empty: it holds %s", path.c_str(), first->path().filename().c_str());
  }
}

bool lies_inside(const std::filesystem::path& inner, const std::filesystem::path& outer) {
  auto part = inner.begin();
  for (const std::filesystem::path& outer_part : outer) {
    if (outer_part.empty()) continue;  // of a slash at the end
    if (part == inner.end() || *part++ != outer_part) return false;
  }
  return part != inner.end() && !part->empty();
}

// Links are followed in the part of the paths that exists.
void check_apart(const std::string& output, const std::string& input) {
  std::error_code error;
  const std::filesystem::path out = std::filesystem::weakly_canonical(std::filesystem::absolute(output), error);
  if (error) fail_system("create the folder", output, error.value());
  const std::filesystem::path in = std::filesystem::weakly_canonical(std::filesystem::absolute(input), error);
  if (error) fail_system("read", input, error.value());
  if (lies_inside(out, in)) {
    fail(Status::kInvalidArgument, "the output folder %s lies inside the input folder %s", output.c_str(), input.c_str());
  }
  if (lies_inside(in, out)) {
    fail(Status::kInvalidArgument, "the input folder %s lies inside the output folder %s", input.c_str(), output.c_str());
  }
}

}  // namespace

void OutputFolder::check(const std::string& path, const std::string& input) {
  struct stat info;
  if (path.empty()) fail(Status::kInvalidArgument, "the output folder has no name");
  check_apart(path, input);
  if (stat(path.c_str(), &info) == 0) check_unused(path, info, input);
}

OutputFolder::OutputFolder(const std::string& path, const std::string& input) : path_(path) {
  check(path, input);
  std::error_code error;
  if (std::filesystem::exists(path, error)) return;
  if (mkdir(path.c_str(), 0777) != 0) fail_system("create the folder", path, errno);
  made_ = true;
}

OutputFolder::~OutputFolder() {
  if (committed_) return;
  for (size_t i = 0; i < names_.size(); ++i) unlink((path_of(names_[i]) + (i < renamed_ ? "" : kTemporarySuffix)).c_str());
  if (made_) rmdir(path_.c_str());  // fails, as it should, if someone else has put a file there
}

File OutputFolder::create(const std::string& name) {
  names_.push_back(name);  // first, so that nothing can come between the file and its removal
  try {
    return File::create(path_of(name) + kTemporarySuffix);
  } catch (...) {
    names_.pop_back();
    throw;
  }
}

void OutputFolder::write(const std::string& name, const std::string& text) {
  File file = create(name);
  file.write_at(0, text.data(), static_cast<int64_t>(text.size()));
  file.finish();
}

void OutputFolder::commit() {
  for (; renamed_ < names_.size(); ++renamed_) {
    const std::string name = path_of(names_[renamed_]);
    if (std::rename((name + kTemporarySuffix).c_str(), name.c_str()) != 0) fail_system("rename a file to", name, errno);
  }
  sync_folder(path_);
  if (made_) {
    const std::filesystem::path parent = std::filesystem::absolute(path_).lexically_normal() / "..";
    sync_folder(parent.string());
  }
  committed_ = true;
}

}  // namespace nvfp4cal::checkpoint
