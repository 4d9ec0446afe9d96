#include "checkpoint/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t kDeepest = 100;

// Makes a value of events. Members are put behind each other: an ordered object looks for a key through all of its members.
class ValueReader final : public JsonEvents {
 public:
  ValueReader(const std::string& file, EqualKeys equal_keys) : file_(file), equal_keys_(equal_keys) {}
  ordered_json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // no JSON text has any
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return open(ordered_json::object());
  }
  bool key(string_t& value) override {
    std::map<std::string, size_t>& places = keys_.back();
    const auto [found, fresh] = places.emplace(value, places.size());
    if (!fresh && equal_keys_ == EqualKeys::kRefused) {
      fail(Status::kCorrupt, "%s: an object has the key %s twice", file_.c_str(), in_quotes(value).c_str());
    }
    place_ = found->second;
    key_ = std::move(value);
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    return end_array();
  }
  bool start_array(std::size_t) override { return open(ordered_json::array()); }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    if (error.id == kNumberOverflow) fail(Status::kCorrupt, "%s: a number is beyond the range of float64", file_.c_str());
    fail(Status::kCorrupt, "%s: not valid JSON at byte %zu", file_.c_str(), position);
  }

 private:
  bool put(ordered_json value) {
    place(std::move(value));
    return true;
  }
  bool open(ordered_json value) {
    open_.push_back(place(std::move(value)));
    return true;
  }
  ordered_json* place(ordered_json value) {
    if (open_.size() > kDeepest) fail(Status::kCorrupt, "%s: values are nested deeper than %zu", file_.c_str(), kDeepest);
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_array()) return &open_.back()->get_ref<ordered_json::array_t&>().emplace_back(std::move(value));
    ordered_json::object_t& members = open_.back()->get_ref<ordered_json::object_t&>();
    if (place_ < members.size()) return &((members.begin() + static_cast<std::ptrdiff_t>(place_))->second = std::move(value));
    return &members.emplace_back(std::move(key_), std::move(value)).second;
  }

  const std::string& file_;
  const EqualKeys equal_keys_;
  ordered_json root_;
  std::vector<ordered_json*> open_;                  // objects and arrays, each an element of the one before
  std::vector<std::map<std::string, size_t>> keys_;  // of the open objects, with their places
  std::string key_;                                  // of the value that comes next
  size_t place_ = 0;                                 // of that key
};

}  // namespace

void check_json_bytes(const std::string& what, std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) fail(Status::kCorrupt, "%s begins with a byte order mark", what.c_str());
  if (const void* nul = text.empty() ? nullptr : std::memchr(text.data(), 0, text.size())) {
    fail(Status::kCorrupt, "%s is not valid JSON: NUL at byte %zu", what.c_str(),
         static_cast<size_t>(static_cast<const char*>(nul) - text.data()));
  }
}

void parse_json_events(std::string_view text, JsonEvents& events) { ordered_json::sax_parse(text.begin(), text.end(), &events); }

ordered_json parse_json_value(const std::string& file, std::string_view text, EqualKeys equal_keys) {
  check_json_bytes(file, text);
  ValueReader reader(file, equal_keys);
  parse_json_events(text, reader);
  return reader.take();
}

ordered_json parse_json(const std::string& file, std::string_view text) {
  ordered_json value = parse_json_value(file, text);
  if (!value.is_object()) fail(Status::kCorrupt, "%s: the file is not a JSON object", file.c_str());
  return value;
}

void append_json(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7F && c != '"' && c != '\\'; });
  if (plain) {
    out.append(1, '"').append(text).append(1, '"');
  } else {
    out += ordered_json(std::string(text)).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  }
}

void append_json(std::string& out, double number) {
  char digits[64];
  if (std::isfinite(number)) {
    out.append(digits, nlohmann::detail::to_chars(digits, digits + sizeof digits, number));
  } else {
    out += "null";
  }
}

void append_json(std::string& out, int64_t number) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

std::string json_file_text(const ordered_json& value) { return value.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n"; }

}  // namespace nvfp4cal::checkpoint
