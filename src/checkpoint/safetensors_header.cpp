#include "checkpoint/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "checkpoint/header_parser.h"
#include "checkpoint/json.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

using Long = long long;

constexpr StoredDtype kDtypes[] = {
    {"BOOL", 8, 0},    {"F4", 4, 1},      {"F6_E2M3", 6, 2}, {"F6_E3M2", 6, 3},     {"U8", 8, 4},           {"I8", 8, 5},
    {"F8_E5M2", 8, 6}, {"F8_E4M3", 8, 7}, {"F8_E8M0", 8, 8}, {"F8_E4M3FNUZ", 8, 9}, {"F8_E5M2FNUZ", 8, 10}, {"I16", 16, 11},
    {"U16", 16, 12},   {"F16", 16, 13},   {"BF16", 16, 14},  {"I32", 32, 15},       {"U32", 32, 16},        {"F32", 32, 17},
    {"C64", 64, 18},   {"F64", 64, 19},   {"I64", 64, 20},   {"U64", 64, 21},
};

// Bytes that a tensor of this dtype and shape takes.
int64_t stored_bytes(const std::string& file, const TensorEntry& tensor) {
  int64_t bits = 1;
  bool overflow = false;
  for (const int64_t extent : tensor.shape) overflow = overflow || __builtin_mul_overflow(bits, extent, &bits);
  if (overflow || __builtin_mul_overflow(bits, int64_t{tensor.dtype->bits}, &bits)) {
    fail(Status::kCorrupt, "%s: the shape of tensor %s has more elements than a file can hold", file.c_str(),
         in_quotes(tensor.name).c_str());
  }
  if (bits % 8 != 0) {
    fail(Status::kCorrupt, "%s: tensor %s has %lld bits, not a whole number of bytes", file.c_str(), in_quotes(tensor.name).c_str(),
         static_cast<Long>(bits));
  }
  return bits / 8;
}

void check_sizes(const std::string& file, const std::vector<TensorEntry>& tensors, int64_t data_size) {
  for (const TensorEntry& tensor : tensors) {
    if (tensor.end < tensor.begin) {
      fail(Status::kCorrupt, "%s: tensor %s begins at byte %lld and ends before it, at byte %lld", file.c_str(),
           in_quotes(tensor.name).c_str(), static_cast<Long>(tensor.begin), static_cast<Long>(tensor.end));
    }
    if (tensor.end > data_size) {
      fail(Status::kCorrupt, "%s: tensor %s ends at byte %lld but the data has %lld", file.c_str(), in_quotes(tensor.name).c_str(),
           static_cast<Long>(tensor.end), static_cast<Long>(data_size));
    }
    const int64_t bytes = stored_bytes(file, tensor);
    if (bytes != tensor.bytes()) {
      fail(Status::kCorrupt, "%s: tensor %s takes %lld bytes but its data_offsets span %lld", file.c_str(), in_quotes(tensor.name).c_str(),
           static_cast<Long>(bytes), static_cast<Long>(tensor.bytes()));
    }
  }
}

void check_names(const std::string& file, const std::vector<TensorEntry>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const TensorEntry& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) fail(Status::kCorrupt, "%s: two tensors are named %s", file.c_str(), in_quotes(*twin).c_str());
}

// Each tensor begins where the one before it ends, the first at 0, and the last ends with the file.
void check_positions(const std::string& file, const std::vector<TensorEntry>& tensors, int64_t data_size) {
  int64_t position = 0;
  const TensorEntry* before = nullptr;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.begin != position) {
      const std::string where = before ? "tensor " + in_quotes(before->name) + " ends at byte" : "the data begins at byte";
      fail(Status::kCorrupt, "%s: tensor %s begins at byte %lld but %s %lld: %s", file.c_str(), in_quotes(tensor.name).c_str(),
           static_cast<Long>(tensor.begin), where.c_str(), static_cast<Long>(position),
           tensor.begin < position ? "they overlap" : "a hole");
    }
    position = tensor.end;
    before = &tensor;
  }
  if (position != data_size) {
    fail(Status::kCorrupt, "%s: the data has %lld bytes but the tensors end at byte %lld", file.c_str(), static_cast<Long>(data_size),
         static_cast<Long>(position));
  }
}

// As the reference's writer orders them: large alignments first, then by name. Files that come from it have most of that order already.
std::vector<TensorEntry*> in_file_order(std::vector<TensorEntry>& tensors) {
  constexpr int kMostRank = 21;
  std::vector<TensorEntry*> order;
  order.reserve(tensors.size());
  uint32_t ranks = 0;
  for (const TensorEntry& tensor : tensors) ranks |= uint32_t{1} << tensor.dtype->rank;
  for (int rank = kMostRank; rank >= 0; --rank) {
    if (!(ranks >> rank & 1)) continue;
    const auto begin = static_cast<std::ptrdiff_t>(order.size());
    for (TensorEntry& tensor : tensors) {
      if (tensor.dtype->rank == rank) order.push_back(&tensor);
    }
    const auto by_name = [](const TensorEntry* a, const TensorEntry* b) { return a->name < b->name; };
    if (!std::is_sorted(order.begin() + begin, order.end(), by_name)) std::sort(order.begin() + begin, order.end(), by_name);
  }
  return order;
}

void append_entry(std::string& json, const TensorEntry& tensor) {
  append_json(json, tensor.name);
  json.append(":{\"dtype\":\"").append(tensor.dtype->name).append("\",\"shape\":[");
  for (size_t d = 0; d < tensor.shape.size(); ++d) {
    if (d > 0) json += ',';
    append_json(json, tensor.shape[d]);
  }
  json += "],\"data_offsets\":[";
  append_json(json, tensor.begin);
  json += ',';
  append_json(json, tensor.end);
  json += "]}";
}

}  // namespace

const StoredDtype* find_dtype(std::string_view name) {
  for (const StoredDtype& dtype : kDtypes) {
    if (name == dtype.name) return &dtype;
  }
  return nullptr;
}

int64_t TensorEntry::elements() const {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

int64_t header_length(const std::string& file, const unsigned char* prefix, int64_t file_size) {
  if (file_size < kHeaderPrefix) {
    fail(Status::kCorrupt, "%s: %lld bytes are too few for a safetensors file", file.c_str(), static_cast<Long>(file_size));
  }
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | prefix[i];
  if (length > static_cast<uint64_t>(kHeaderLimit)) {
    fail(Status::kCorrupt, "%s: a header of %llu bytes is over the limit of %lld (is this a safetensors file?)", file.c_str(),
         static_cast<unsigned long long>(length), static_cast<Long>(kHeaderLimit));
  }
  if (static_cast<int64_t>(length) > file_size - kHeaderPrefix) {
    fail(Status::kCorrupt, "%s: the header has %lld bytes but the file only %lld", file.c_str(), static_cast<Long>(length),
         static_cast<Long>(file_size));
  }
  return static_cast<int64_t>(length);
}

Header parse_header(const std::string& file, std::string_view json, int64_t data_size) {
  Header header = read_header_json(file, json);
  check_names(file, header.tensors);
  check_sizes(file, header.tensors, data_size);
  // Empty tensors lie between their neighbours: (begin, end) puts them before the one that begins there.
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const TensorEntry& a, const TensorEntry& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  check_positions(file, header.tensors, data_size);
  return header;
}

int64_t data_size(const std::vector<TensorEntry>& tensors) {
  return std::accumulate(tensors.begin(), tensors.end(), int64_t{0},
                         [](int64_t sum, const TensorEntry& tensor) { return sum + tensor.bytes(); });
}

std::string build_header(const std::string& file, std::vector<TensorEntry>& tensors, const Metadata& metadata) {
  std::string bytes(kHeaderPrefix, '\0');
  bytes += "{\"__metadata__\":{";
  const bool has_format = std::any_of(metadata.begin(), metadata.end(), [](const auto& pair) { return pair.first == "format"; });
  if (!has_format) bytes += "\"format\":\"pt\"";
  for (const auto& [key, value] : metadata) {
    if (bytes.back() != '{') bytes += ',';
    append_json(bytes, key);
    bytes += ':';
    append_json(bytes, value);
  }
  bytes += '}';
  int64_t position = 0;
  for (TensorEntry* tensor : in_file_order(tensors)) {
    tensor->begin = position;
    tensor->end = position += stored_bytes(file, *tensor);
    bytes += ',';
    append_entry(bytes, *tensor);
  }
  bytes += '}';
  bytes.append((8 - bytes.size() % 8) % 8, ' ');
  const int64_t length = static_cast<int64_t>(bytes.size()) - kHeaderPrefix;
  if (length > kHeaderLimit) {
    fail(Status::kUnsupported, "%s: a header of %lld bytes is over the limit of %lld", file.c_str(), static_cast<Long>(length),
         static_cast<Long>(kHeaderLimit));
  }
  for (size_t i = 0; i < kHeaderPrefix; ++i) bytes[i] = static_cast<char>(length >> (8 * i) & 0xFF);
  bytes.shrink_to_fit();  // a job keeps it
  return bytes;
}

}  // namespace nvfp4cal::checkpoint
