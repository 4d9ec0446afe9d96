#include "calib/state_bytes.h"

#include "core/tensor_view.h"

namespace nvfp4cal::calib {

namespace {

constexpr char kMagic[8] = {'N', 'V', 'F', 'P', '4', 'C', 'A', 'L'};
constexpr size_t kTypeSize = 4;
constexpr size_t kHeaderSize = sizeof kMagic + kTypeSize + sizeof(uint32_t);

// FNV-1a: notices truncation and damage; it is not a signature.
uint64_t checksum(const uint8_t* bytes, size_t n) {
  uint64_t hash = 14695981039346656037ull;
  for (size_t i = 0; i < n; ++i) hash = (hash ^ bytes[i]) * 1099511628211ull;
  return hash;
}

}  // namespace

StateWriter::StateWriter(const char* type, uint32_t version) {
  put_bytes(kMagic, sizeof kMagic);
  put_bytes(type, kTypeSize);
  put(version);
}

void StateWriter::reserve(size_t n) {
  constexpr size_t kSmallFields = 256;  // behind the array
  bytes_.reserve(bytes_.size() + n + kSmallFields);
}

void StateWriter::put_bytes(const void* data, size_t n) {
  if (n == 0) return;
  const size_t size = bytes_.size();
  bytes_.resize(size + n);
  std::memcpy(bytes_.data() + size, data, n);
}

std::vector<uint8_t> StateWriter::finish() {
  put(checksum(bytes_.data(), bytes_.size()));
  return std::move(bytes_);
}

StateReader::StateReader(const char* type, uint32_t newest_version, const uint8_t* bytes, size_t n) : next_(bytes), end_(bytes + n) {
  if (n < kHeaderSize + sizeof(uint64_t)) fail(Status::kCorrupt, "a state of %zu bytes is too short", n);
  if (std::memcmp(bytes, kMagic, sizeof kMagic) != 0) fail(Status::kCorrupt, "these bytes are not a calibrator state");
  end_ -= sizeof(uint64_t);
  uint64_t stored;
  std::memcpy(&stored, end_, sizeof stored);
  if (stored != checksum(bytes, static_cast<size_t>(end_ - bytes)))
    fail(Status::kCorrupt, "the state's checksum does not match: truncated or damaged");
  read_type(type, newest_version);
}

StateReader StateReader::of_head(const char* type, uint32_t newest_version, const uint8_t* bytes, size_t n) {
  if (n < kHeaderSize) fail(Status::kCorrupt, "a state of %zu bytes is too short", n);
  if (std::memcmp(bytes, kMagic, sizeof kMagic) != 0) fail(Status::kCorrupt, "these bytes are not a calibrator state");
  StateReader reader(bytes, bytes + n);
  reader.read_type(type, newest_version);
  return reader;
}

void StateReader::read_type(const char* type, uint32_t newest_version) {
  next_ += sizeof kMagic;
  if (std::memcmp(next_, type, kTypeSize) != 0) {
    fail(Status::kCorrupt, "a state of type \"%.4s\" where \"%.4s\" is expected", reinterpret_cast<const char*>(next_), type);
  }
  next_ += kTypeSize;
  version_ = get<uint32_t>();
  if (version_ == 0 || version_ > newest_version)
    fail(Status::kCorrupt, "state version %u, this library reads 1 to %u", version_, newest_version);
}

bool StateReader::get_flag() {
  const uint8_t flag = get<uint8_t>();
  if (flag > 1) fail(Status::kCorrupt, "the state holds a flag of %d", flag);
  return flag == 1;
}

void StateReader::get_bytes(void* out, size_t n) {
  if (n > remaining()) fail(Status::kCorrupt, "the state ends early");
  if (n == 0) return;
  std::memcpy(out, next_, n);
  next_ += n;
}

void StateReader::finish() const {
  if (next_ != end_) fail(Status::kCorrupt, "the state has %zu bytes too many", remaining());
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t d = 0; d < shape.size(); ++d) {
    if (d > 0) text += ", ";
    text += std::to_string(shape[d]);
  }
  text += ']';
  return text;
}

void check_state_shape(const std::vector<int64_t>& shape, size_t count, bool has_data) {
  int64_t product = 1;  // of the extents that are not 0: products of some of them are formed elsewhere
  bool empty = !has_data, fits = shape.size() <= kMaxNdim && (has_data || shape.empty());
  for (size_t d = 0; fits && d < shape.size(); ++d) {
    empty = empty || shape[d] == 0;
    fits = shape[d] >= 0 && (shape[d] == 0 || !__builtin_mul_overflow(product, shape[d], &product));
  }
  if (empty) product = 0;
  if (!fits || static_cast<uint64_t>(product) != count) {
    fail(Status::kCorrupt, "the state's shape %s does not fit its %zu values", shape_text(shape).c_str(), count);
  }
}

}  // namespace nvfp4cal::calib
