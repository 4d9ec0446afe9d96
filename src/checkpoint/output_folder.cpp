#include "checkpoint/output_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <set>

#include "checkpoint/checksum.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr int64_t kReadBytes = int64_t{8} << 20;

// What a killed run may have left.
bool is_leftover(const std::string& name) { return name == kJournalName || name.ends_with(kTemporarySuffix); }

// The folders of a path in it, "a", "a/b" of "a/b/c".
std::vector<std::string> folders_of(const std::string& name) {
  std::vector<std::string> folders;
  for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1))
    folders.push_back(name.substr(0, slash));
  return folders;
}

// True of a folder that holds one of the names.
bool is_folder_of(const std::string& folder, const std::set<std::string>& names) {
  const auto first = names.lower_bound(folder + "/");
  return first != names.end() && first->starts_with(folder + "/");
}

[[noreturn]] void refuse_used(const std::string& path, const std::string& name) {
  fail(Status::kInvalidArgument, "the output folder %s is not empty: it holds %s", path.c_str(), name.c_str());
}

// Refuses a folder that is in use. `info` is its stat.
void check_unused(const std::string& path, const struct stat& info, const std::string& input, bool resumes) {
  struct stat input_info;
  if (!S_ISDIR(info.st_mode)) fail(Status::kInvalidArgument, "the output %s is not a folder", path.c_str());
  if (stat(input.c_str(), &input_info) == 0 && input_info.st_dev == info.st_dev && input_info.st_ino == info.st_ino) {
    fail(Status::kInvalidArgument, "the output folder %s is the input folder", path.c_str());
  }
  const std::vector<std::string> names = names_in(path);
  const bool left = resumes && std::find(names.begin(), names.end(), kJournalName) != names.end();
  if (!left && !names.empty()) refuse_used(path, names[0]);
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

void check_place(const std::string& path, const std::string& input, bool resumes) {
  struct stat info;
  if (path.empty()) fail(Status::kInvalidArgument, "the output folder has no name");
  check_apart(path, input);
  if (stat(path.c_str(), &info) == 0) check_unused(path, info, input, resumes);
}

}  // namespace

void OutputFolder::check(const std::string& path, const std::string& input) { check_place(path, input, true); }

void OutputFolder::make(const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) return;
  if (mkdir(path.c_str(), 0777) != 0) fail_system("create the folder", path, errno);
  made_ = true;
}

OutputFolder::OutputFolder(const std::string& path, const std::string& input) : path_(path) {
  check_place(path, input, false);
  make(path);
}

OutputFolder::OutputFolder(const std::string& path, const std::string& input, const std::string& key) : path_(path) {
  check_place(path, input, true);
  make(path);
  bool begins = false;
  try {
    journal_ = std::make_unique<Journal>(path);
    for (const std::string& name : names_in(path)) {
      const std::set<std::string>& committed = journal_->committed();
      if (!is_leftover(name) && !committed.count(name) && !is_folder_of(name, committed)) refuse_used(path, name);
    }
    made_ = made_ || journal_->made_folder();
    if (journal_->key() != key) {
      clear_leftovers();
      begins = true;
      journal_->begin(key, made_);
    }
  } catch (...) {
    if (begins) journal_->remove();  // it says nothing yet: a full disk
    if (made_ && (begins || !journal_)) rmdir(path.c_str());
    throw;
  }
}

void OutputFolder::clear_leftovers() {
  for (const std::string& name : names_in(path_)) {
    const bool ours = is_leftover(name) || journal_->committed().count(name);
    if (ours && name != kJournalName && unlink(path_of(name).c_str()) != 0) fail_system("remove", path_of(name), errno);
  }
  for (const std::string& name : journal_->committed()) {
    if (name.find('/') == std::string::npos) continue;
    if (unlink(path_of(name).c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) fail_system("remove", path_of(name), errno);
    remove_folders_of(name);
  }
}

std::string OutputFolder::temporary_of(const std::string& name) const {
  const bool fits = name.find('/') == std::string::npos && name.size() + std::string_view(kTemporarySuffix).size() <= NAME_MAX;
  if (fits) return path_of(name) + kTemporarySuffix;
  char of_path[24];  // no other file of a run has it: hidden files are not carried over
  std::snprintf(of_path, sizeof of_path, ".%016llx",
                static_cast<unsigned long long>(checksum(name.data(), static_cast<int64_t>(name.size()), 0)));
  return path_of(of_path) + kTemporarySuffix;
}

void OutputFolder::make_folders_of(const std::string& name) {
  for (const std::string& folder : folders_of(name)) {
    if (mkdir(path_of(folder).c_str(), 0777) != 0 && errno != EEXIST) fail_system("create the folder", path_of(folder), errno);
  }
}

void OutputFolder::remove_folders_of(const std::string& name) const {
  const std::vector<std::string> folders = folders_of(name);
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) rmdir(path_of(*folder).c_str());  // fails if something is in it
}

std::optional<FinishedShard> OutputFolder::keep(const std::string& name, Monitor& monitor) {
  const auto found = journal_->shards().find(name);
  if (found == journal_->shards().end()) {
    unlink(temporary_of(name).c_str());  // half of a shard takes the room of a whole one
    return std::nullopt;
  }
  const Entry entry{name, journal_->committed().count(name) && is_regular_file(path_of(name))};
  if (!is_regular_file(path_of(entry))) return std::nullopt;
  const File file = File::open(path_of(entry));
  if (file.size() == found->second.size) {
    std::vector<char> buffer(static_cast<size_t>(std::min(kReadBytes, file.size())));
    uint64_t sum = 0;
    for (int64_t at = 0; at < file.size(); at += kReadBytes) {
      monitor.check();
      const int64_t n = std::min(kReadBytes, file.size() - at);
      file.read_at(at, buffer.data(), n);
      sum += checksum(buffer.data(), n, at);
    }
    if (sum == found->second.checksum) {
      entries_.push_back(entry);
      return found->second;
    }
  }
  if (unlink(path_of(entry).c_str()) != 0) fail_system("remove", path_of(entry), errno);
  return std::nullopt;
}

OutputFolder::~OutputFolder() {
  if (committed_) return;
  for (const Entry& entry : entries_) {
    unlink(path_of(entry).c_str());
    remove_folders_of(entry.name);
  }
  if (journal_) {
    try {
      clear_leftovers();
    } catch (const std::exception&) {  // what cannot be removed stays
    }
    journal_->remove();
  }
  if (made_) rmdir(path_.c_str());  // fails, as it should, if someone else has put a file there
}

File OutputFolder::create(const std::string& name) {
  entries_.push_back({name, false});  // first, so that nothing can come between the file and its removal
  try {
    // Of a run that was killed.
    if (journal_) {
      unlink(temporary_of(name).c_str());
      if (journal_->committed().count(name)) unlink(path_of(name).c_str());
    }
    return File::create(temporary_of(name));
  } catch (...) {
    entries_.pop_back();
    throw;
  }
}

void OutputFolder::write(const std::string& name, const std::string& text) {
  File file = create(name);
  file.write_at(0, text.data(), static_cast<int64_t>(text.size()));
  file.finish();
}

void OutputFolder::commit() {
  if (journal_) {
    std::vector<std::string> names;
    for (const Entry& entry : entries_) names.push_back(entry.name);
    journal_->add_commit(names);
    sync_folder(path_);
  }
  for (Entry& entry : entries_) {
    if (entry.renamed) continue;
    make_folders_of(entry.name);
    const std::string name = path_of(entry.name);
    if (std::rename(temporary_of(entry.name).c_str(), name.c_str()) != 0) fail_system("rename a file to", name, errno);
    entry.renamed = true;
  }
  std::set<std::string> folders;
  for (const Entry& entry : entries_) {
    for (const std::string& folder : folders_of(entry.name)) folders.insert(path_of(folder));
  }
  for (const std::string& folder : folders) sync_folder(folder);
  sync_folder(path_);
  if (made_) {
    const std::filesystem::path parent = std::filesystem::absolute(path_).lexically_normal() / "..";
    sync_folder(parent.string());
  }
  if (journal_) {
    journal_->remove();
    sync_folder(path_);
  }
  committed_ = true;
}

}  // namespace nvfp4cal::checkpoint
