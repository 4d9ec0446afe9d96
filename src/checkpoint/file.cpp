#include "checkpoint/file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

// JSON files of models are at most some megabytes; a larger one is something else. As values they take some 30 times as much memory.
constexpr int64_t kLargestText = 100'000'000;

// Whether this byte is in the page cache; where the system cannot tell, it is not.
bool is_cached([[maybe_unused]] int descriptor, [[maybe_unused]] int64_t offset) {
#ifdef RWF_NOWAIT
  char byte;
  const iovec to{&byte, 1};
  return preadv2(descriptor, &to, 1, offset, RWF_NOWAIT) == 1;
#else
  return false;
#endif
}

int64_t nanoseconds(const struct stat& info) { return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec; }

bool is_in_memory(int descriptor) {
  struct statfs info;
  return fstatfs(descriptor, &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

}  // namespace

void fail_system(const char* action, const std::string& path, int error_number) {
  fail(Status::kIo, "cannot %s %s: %s", action, path.c_str(), std::generic_category().message(error_number).c_str());
}

File File::open(const std::string& path) {
  // Without O_NONBLOCK, a FIFO would wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail_system("open", path, errno);
  File file(path, descriptor, 0);
  struct stat info;
  if (fstat(descriptor, &info) != 0) fail_system("read", path, errno);
  if (!S_ISREG(info.st_mode)) fail(Status::kIo, "%s is not a regular file", path.c_str());
  file.size_ = info.st_size;
  file.modified_ = nanoseconds(info);
  return file;
}

File File::create(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_system("create", path, errno);
  return File(path, descriptor, 0);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void File::read_at(int64_t offset, void* out, int64_t n) const {
  char* target = static_cast<char*>(out);
  while (n > 0) {
    const ssize_t got = ::pread(descriptor_, target, static_cast<size_t>(n), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_system("read", path_, errno);
    if (got == 0)
      fail(Status::kIo, "%s has become shorter while it was read: it ends at byte %lld", path_.c_str(), static_cast<long long>(offset));
    target += got;
    offset += got;
    n -= got;
  }
}

bool File::unchanged() const {
  struct stat info;
  return fstat(descriptor_, &info) == 0 && info.st_size == size_ && nanoseconds(info) == modified_;
}

void File::start_writing() const { static_cast<void>(sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE)); }  // a hint as well

void File::read_ahead(int64_t offset, int64_t n) const {
  // Linux cuts a longer request, without a word.
  constexpr int64_t kRequest = int64_t{512} << 10;
  if (n <= 0 || (is_cached(descriptor_, offset) && is_cached(descriptor_, offset + n - 1))) return;
  for (int64_t at = 0; at < n; at += kRequest) {  // hints: failure is nothing
    static_cast<void>(posix_fadvise(descriptor_, offset + at, std::min(kRequest, n - at), POSIX_FADV_WILLNEED));
  }
}

void File::write_at(int64_t offset, const void* data, int64_t n) {
  const char* source = static_cast<const char*>(data);
  while (n > 0) {
    const ssize_t put = ::pwrite(descriptor_, source, static_cast<size_t>(n), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_system("write", path_, errno);
    source += put;
    offset += put;
    n -= put;
  }
}

void File::reserve(int64_t n) {
  // In memory, taking pages costs more than filling them, and one thread would take them all.
  if (n <= 0 || is_in_memory(descriptor_)) return;
  while (::fallocate(descriptor_, 0, 0, n) != 0) {
    if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT) fail_system("write", path_, errno);
    if (errno != EINTR) return;
  }
}

void File::finish() {
  if (fsync(descriptor_) != 0) fail_system("write", path_, errno);
  // After close, even a failed one, the number belongs to someone else.
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail_system("write", path_, errno);
}

std::string read_text_file(const std::string& path) {
  const File file = File::open(path);
  if (file.size() > kLargestText)
    fail(Status::kCorrupt, "%s has %lld bytes, too many for a text file", path.c_str(), static_cast<long long>(file.size()));
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, text.data(), file.size());
  return text;
}

PathKind kind_of(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0)
    return S_ISREG(info.st_mode) ? PathKind::kFile : S_ISDIR(info.st_mode) ? PathKind::kFolder : PathKind::kOther;
  if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) fail_system("read", path, errno);
  return PathKind::kNothing;
}

bool has_entry(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) == 0) return true;
  if (errno != ENOENT) fail_system("read", path, errno);
  return false;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) fail_system("read", folder, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

void check_space(const std::string& folder, int64_t n) {
  struct statvfs info;
  if (statvfs(folder.c_str(), &info) != 0 || info.f_blocks == 0) return;  // it will be seen
  const double free = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  if (static_cast<double>(n) <= free) return;
  fail(Status::kIo, "cannot write %s: No space left on device: %lld bytes are needed and %.0f are free", folder.c_str(),
       static_cast<long long>(n), free);
}

void sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_system("open", path, errno);
  const int result = fsync(descriptor), error_number = errno;
  ::close(descriptor);
  // Some file systems (network ones) have nothing to sync for a folder and say so.
  if (result != 0 && error_number != EINVAL && error_number != EROFS) fail_system("sync", path, error_number);
}

}  // namespace nvfp4cal::checkpoint
