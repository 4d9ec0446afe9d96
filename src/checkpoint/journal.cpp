#include "checkpoint/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "checkpoint/json.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

void write_all(int descriptor, const std::string& text, int64_t at, const std::string& path) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t put = ::pwrite(descriptor, text.data() + done, text.size() - done, at + static_cast<int64_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_system("write", path, errno);
    done += static_cast<size_t>(put);
  }
}

}  // namespace

Journal::Journal(const std::string& folder) : path_(folder + "/" + kJournalName) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0) fail_system("create", path_, errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor_);
    fail(Status::kInvalidArgument, "another run is writing the output folder %s", folder.c_str());
  }
  try {
    read();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Journal::read() {
  const std::string text = read_text_file(path_);
  try {
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const ordered_json line = parse_json(path_, std::string_view(text).substr(begin, end - begin));
      if (line.contains("key")) {
        key_ = line["key"].get<std::string>();
        made_folder_ = line.at("made_folder").get<bool>();
      }
      if (line.contains("amaxes")) amaxes_ = line["amaxes"].get<std::vector<float>>();
      if (line.contains("commit")) committed_ = line["commit"].get<std::set<std::string>>();
      if (line.contains("shard")) {
        shards_[line["shard"].get<std::string>()] = {line.at("size").get<int64_t>(), line.at("checksum").get<uint64_t>(),
                                                     line.at("results").get<std::vector<double>>()};
      }
      size_ = static_cast<int64_t>(end) + 1;
    }
  } catch (const Error&) {  // no journal of ours, or a damaged one: the run starts anew
    key_.clear();
  } catch (const ordered_json::exception&) {  // likewise: a value of another type
    key_.clear();
  }
  if (!key_.empty() && ftruncate(descriptor_, size_) != 0) fail_system("write", path_, errno);
}

void Journal::begin(const std::string& key, bool made_folder) {
  if (ftruncate(descriptor_, 0) != 0) fail_system("write", path_, errno);
  size_ = 0;
  key_ = key;
  made_folder_ = made_folder;
  amaxes_.clear();
  shards_.clear();
  committed_.clear();
  append({{"key", key}, {"made_folder", made_folder}});
}

void Journal::append(const ordered_json& line) {
  const std::string text = line.dump() + "\n";
  write_all(descriptor_, text, size_, path_);
  size_ += static_cast<int64_t>(text.size());
  if (fdatasync(descriptor_) != 0) fail_system("write", path_, errno);
}

void Journal::add_amaxes(const std::vector<float>& amaxes) {
  amaxes_ = amaxes;
  append({{"amaxes", amaxes}});
}

void Journal::add_shard(const std::string& name, const FinishedShard& shard) {
  append({{"shard", name}, {"size", shard.size}, {"checksum", shard.checksum}, {"results", shard.results}});
}

void Journal::add_commit(const std::vector<std::string>& names) {
  committed_.insert(names.begin(), names.end());
  append({{"commit", committed_}});
}

void Journal::remove() { ::unlink(path_.c_str()); }

}  // namespace nvfp4cal::checkpoint
