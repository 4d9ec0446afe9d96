#include "checkpoint/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr int kDeepest = 100;

template <class Json>
Json parse(const std::string& file, std::string_view text) {
  check_json_bytes(file, text);
  std::vector<std::set<std::string>> keys;  // of the open objects
  const auto look = [&](int depth, typename Json::parse_event_t event, Json& value) {
    using Event = typename Json::parse_event_t;
    if (depth > kDeepest) fail(Status::kCorrupt, "%s: values are nested deeper than %d", file.c_str(), kDeepest);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.template get_ref<const std::string&>()).second) {
      fail(Status::kCorrupt, "%s: an object has the key %s twice", file.c_str(),
           in_quotes(value.template get_ref<const std::string&>()).c_str());
    }
    return true;
  };
  try {
    Json value = Json::parse(text.begin(), text.end(), look);
    if (!value.is_object()) fail(Status::kCorrupt, "%s: the file is not a JSON object", file.c_str());
    return value;
  } catch (const nlohmann::detail::parse_error& error) {
    fail(Status::kCorrupt, "%s: not valid JSON at byte %zu", file.c_str(), error.byte);
  } catch (const nlohmann::detail::out_of_range&) {
    fail(Status::kCorrupt, "%s: a number is beyond the range of float64", file.c_str());
  }
}

}  // namespace

void check_json_bytes(const std::string& what, std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) fail(Status::kCorrupt, "%s begins with a byte order mark", what.c_str());
  if (const void* nul = text.empty() ? nullptr : std::memchr(text.data(), 0, text.size())) {
    fail(Status::kCorrupt, "%s is not valid JSON: NUL at byte %zu", what.c_str(),
         static_cast<size_t>(static_cast<const char*>(nul) - text.data()));
  }
}

nlohmann::json parse_json(const std::string& file, std::string_view text) { return parse<nlohmann::json>(file, text); }

nlohmann::ordered_json parse_ordered_json(const std::string& file, std::string_view text) {
  return parse<nlohmann::ordered_json>(file, text);
}

void append_json(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7F && c != '"' && c != '\\'; });
  if (plain) {
    out.append(1, '"').append(text).append(1, '"');
  } else {
    out += nlohmann::ordered_json(std::string(text)).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
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

std::string json_file_text(const nlohmann::ordered_json& value) {
  return value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace nvfp4cal::checkpoint
