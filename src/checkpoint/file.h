// Files by descriptor: complete reads and writes, errors with the path and the system's words.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nvfp4cal::checkpoint {

class File {
 public:
  // An existing regular file (or a link to one), for reading.
  static File open(const std::string& path);
  // A new file; it is an error if the name is taken.
  static File create(const std::string& path);

  File(File&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_), modified_(other.modified_) {}
  File& operator=(File&&) = delete;
  ~File();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }          // at open
  int64_t modified() const { return modified_; }  // at open, nanoseconds
  // The file is as long, and was changed as long ago, as when it was opened.
  bool unchanged() const;

  // All n bytes; a file that has become shorter is an error (kIo).
  void read_at(int64_t offset, void* out, int64_t n) const;
  // Asks the system to fetch these bytes meanwhile.
  void read_ahead(int64_t offset, int64_t n) const;
  void write_at(int64_t offset, const void* data, int64_t n);
  // Takes the space now, so that a full disk is seen before the work; where the file system cannot, or is memory, nothing happens.
  void reserve(int64_t n);
  // Lets the system begin to write what it holds to the disk.
  void start_writing() const;
  // To the disk, and closed.
  void finish();

 private:
  File(std::string path, int descriptor, int64_t size) : path_(std::move(path)), descriptor_(descriptor), size_(size) {}

  std::string path_;
  int descriptor_;
  int64_t size_;
  int64_t modified_ = 0;
};

// Throws kIo with the text of errno: `cannot <action> <path>: No space left on device`.
[[noreturn]] void fail_system(const char* action, const std::string& path, int error_number);

std::string read_text_file(const std::string& path);
// What a path leads to, links followed. kNothing: nothing is there, or a link that leads to nothing or to itself.
enum class PathKind { kFile, kFolder, kOther, kNothing };
// Throws kIo if that cannot be known: in a folder that may not be searched, say.
PathKind kind_of(const std::string& path);
inline bool is_regular_file(const std::string& path) { return kind_of(path) == PathKind::kFile; }
// True if the folder has an entry of this name, whatever it is: a dangling link is there too. Throws kIo if that cannot be known.
bool has_entry(const std::string& path);
// All entries of a folder, sorted.
std::vector<std::string> names_in(const std::string& folder);

// Throws kIo if a file system that counts its space has less than n bytes for this folder.
void check_space(const std::string& folder, int64_t n);

// Makes renames in this folder survive a power cut.
void sync_folder(const std::string& path);

}  // namespace nvfp4cal::checkpoint
