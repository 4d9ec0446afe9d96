// The header of a safetensors file: strict parser and writer of its bytes. Pure functions: no files here. docs/checkpoint.md, "Files".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nvfp4cal::checkpoint {

// Longest header that is read or written, without the 8 bytes of its length.
inline constexpr int64_t kHeaderLimit = 100'000'000;
inline constexpr int64_t kHeaderPrefix = 8;
// More dimensions than any tensor library has.
inline constexpr size_t kMostDimensions = 64;

// A dtype string of the format.
struct StoredDtype {
  const char* name;
  int bits;
  int rank;  // the order of the reference's enum: its writer puts high ranks (large alignments) first
};

// NULL for a string that is none.
const StoredDtype* find_dtype(std::string_view name);

struct TensorEntry {
  std::string name;
  const StoredDtype* dtype = nullptr;
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // bytes of the data, which follows the header

  int64_t bytes() const { return end - begin; }
  int64_t elements() const;
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct Header {
  std::vector<TensorEntry> tensors;  // by position in the data
  Metadata metadata;                 // of __metadata__, in its order
};

// Length of the JSON, from the first 8 bytes of a file of file_size bytes (which may be below 8).
int64_t header_length(const std::string& file, const unsigned char* prefix, int64_t file_size);

// Parses the JSON of a header whose file holds data_size bytes behind it. Throws kCorrupt; messages start with `file`.
Header parse_header(const std::string& file, std::string_view json, int64_t data_size);

// Sets begin and end as the reference's writer orders the tensors, which stay where they are here, and returns the first bytes of the file:
// length and JSON, padded with spaces so that the data begins at a multiple of 8. {"format":"pt"} is added to metadata without a format.
std::string build_header(const std::string& file, std::vector<TensorEntry>& tensors, const Metadata& metadata);

// Bytes of all of them.
int64_t data_size(const std::vector<TensorEntry>& tensors);

}  // namespace nvfp4cal::checkpoint
