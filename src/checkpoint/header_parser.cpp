#include "checkpoint/header_parser.h"

#include <cstdint>
#include <limits>
#include <set>

#include "checkpoint/json.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

// Depth of values behind keys that the format does not know. They are skipped, as the reference does.
constexpr size_t kSkippedDepth = 16;

// Events of nlohmann's parser (which keeps its own stack on the heap) drive a state machine: what is not expected is refused at once,
// so that a hostile header cannot grow anything but the list of entries.
class HeaderEvents final : public JsonEvents {
 public:
  explicit HeaderEvents(const std::string& file) : file_(file) {}
  Header take() { return std::move(header_); }

  bool null() override {
    if (state_ == State::kTop && name_ == kMetadataKey) return true;
    return other("null");
  }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_integer(number_integer_t) override { return other("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return other("a number that is not an integer below 2^64"); }
  bool binary(binary_t&) override { return other("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ != State::kShape && state_ != State::kOffsets) return other("a number");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return other("a number over 2^63 - 1");
    std::vector<int64_t>& list = state_ == State::kShape ? entry_.shape : offsets_;
    if (state_ == State::kShape && list.size() == kMostDimensions) refuse("more than 64 dimensions");
    if (state_ == State::kOffsets && list.size() == 2) refuse("more than two data_offsets");
    list.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (state_ == State::kMetadata) {
      header_.metadata.emplace_back(name_, value);
    } else if (state_ == State::kEntry && key_ == "dtype") {
      entry_.dtype = find_dtype(value);
      if (!entry_.dtype) refuse("the unknown dtype " + in_quotes(value));
    } else {
      return other("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (state_ == State::kStart) {
      state_ = State::kTop;
    } else if (state_ == State::kTop) {
      state_ = name_ == kMetadataKey ? State::kMetadata : State::kEntry;
      keys_.assign(1, {});
      entry_ = TensorEntry{name_, nullptr, {}, 0, 0};
      offsets_.clear();
      known_keys_ = 0;
      has_shape_ = has_offsets_ = false;
    } else {
      return open("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    if (value.find('\0') != string_t::npos) fail(Status::kCorrupt, "%s: a name in the header holds a NUL character", file_.c_str());
    if (state_ == State::kTop) {
      if (value == kMetadataKey && has_metadata_) fail(Status::kCorrupt, "%s: the header has two entries \"__metadata__\"", file_.c_str());
      has_metadata_ = has_metadata_ || value == kMetadataKey;
      name_ = std::move(value);
      return true;
    }
    if (is_repeated(value)) {
      const std::string owner = state_ == State::kMetadata ? "__metadata__" : "the entry of tensor " + in_quotes(entry_.name);
      fail(Status::kCorrupt, "%s: %s has the key %s twice", file_.c_str(), owner.c_str(), in_quotes(value).c_str());
    }
    if (state_ == State::kMetadata) name_ = value;
    if (state_ == State::kEntry) key_ = value;
    return true;
  }

  bool end_object() override {
    if (state_ == State::kSkip) return close();
    if (state_ == State::kEntry) finish_entry();
    state_ = state_ == State::kTop ? State::kDone : State::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ == State::kEntry && key_ == "shape") {
      state_ = State::kShape;
      has_shape_ = true;
    } else if (state_ == State::kEntry && key_ == "data_offsets") {
      state_ = State::kOffsets;
      has_offsets_ = true;
    } else {
      return open("an array");
    }
    return true;
  }

  bool end_array() override {
    if (state_ == State::kSkip) return close();
    state_ = State::kEntry;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    if (error.id == kNumberOverflow) fail(Status::kCorrupt, "%s: a number in the header is beyond the range of float64", file_.c_str());
    fail(Status::kCorrupt, "%s: the header is not valid JSON at byte %zu", file_.c_str(), position);
  }

 private:
  enum class State { kStart, kTop, kMetadata, kEntry, kShape, kOffsets, kSkip, kDone };
  static constexpr const char* kMetadataKey = "__metadata__";

  bool known_key() const { return key_ == "dtype" || key_ == "shape" || key_ == "data_offsets"; }

  // Notes a key of an open object below the top level. Those that every entry has need no list.
  bool is_repeated(const string_t& key) {
    const int bit = state_ != State::kEntry ? 0 : key == "dtype" ? 1 : key == "shape" ? 2 : key == "data_offsets" ? 4 : 0;
    if (bit == 0) return !keys_.back().insert(key).second;
    const bool repeated = (known_keys_ & bit) != 0;
    known_keys_ |= bit;
    return repeated;
  }

  // A value that has no meaning here: skipped behind an unknown key of an entry, else refused.
  bool other(const char* what) {
    if (state_ == State::kSkip || (state_ == State::kEntry && !known_key())) return true;
    switch (state_) {
      case State::kStart:
      case State::kDone: fail(Status::kCorrupt, "%s: the header is %s, not a JSON object", file_.c_str(), what);
      case State::kTop:
        if (name_ == kMetadataKey) fail(Status::kCorrupt, "%s: __metadata__ is %s, not an object", file_.c_str(), what);
        fail(Status::kCorrupt, "%s: the entry of tensor %s is %s, not an object", file_.c_str(), in_quotes(name_).c_str(), what);
      case State::kMetadata:
        fail(Status::kCorrupt, "%s: %s in __metadata__ is %s, not a string", file_.c_str(), in_quotes(name_).c_str(), what);
      case State::kShape: refuse(std::string(what) + " in its shape");
      case State::kOffsets: refuse(std::string(what) + " in its data_offsets");
      default: refuse(std::string(what) + " as " + key_);
    }
  }

  // An object or array inside a skipped value, or the beginning of one.
  bool open(const char* what) {
    other(what);
    if (state_ == State::kEntry) {
      skip_from_ = keys_.size();
      state_ = State::kSkip;
    }
    if (keys_.size() - skip_from_ == kSkippedDepth) refuse("values nested too deeply as " + key_);
    keys_.emplace_back();
    return true;
  }

  bool close() {
    keys_.pop_back();
    if (keys_.size() == skip_from_) state_ = State::kEntry;
    return true;
  }

  void finish_entry() {
    if (!entry_.dtype) refuse("no dtype");
    if (!has_shape_) refuse("no shape");
    if (!has_offsets_) refuse("no data_offsets");
    if (offsets_.size() != 2) refuse("fewer than two data_offsets");
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    header_.tensors.push_back(std::move(entry_));
  }

  [[noreturn]] void refuse(const std::string& what) {
    fail(Status::kCorrupt, "%s: tensor %s has %s", file_.c_str(), in_quotes(entry_.name).c_str(), what.c_str());
  }

  const std::string& file_;
  Header header_;
  State state_ = State::kStart;
  std::string name_, key_;                   // of the top level or the metadata; of an entry
  std::vector<std::set<std::string>> keys_;  // seen in the open objects below the top level
  int known_keys_ = 0;                       // of the entry: 1 dtype, 2 shape, 4 data_offsets
  size_t skip_from_ = 0;
  TensorEntry entry_;
  std::vector<int64_t> offsets_;
  bool has_metadata_ = false, has_shape_ = false, has_offsets_ = false;
};

}  // namespace

Header read_header_json(const std::string& file, std::string_view json) {
  check_json_bytes(file + ": the header", json);
  HeaderEvents events(file);
  parse_json_events(json, events);
  return events.take();
}

}  // namespace nvfp4cal::checkpoint
