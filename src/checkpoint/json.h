// JSON files of a model folder, read strictly: nlohmann's own readers stop at a NUL, and keep one of two equal keys.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace nvfp4cal::checkpoint {

// Refuses (kCorrupt) what the parser would let pass: a byte order mark, NUL bytes. `what` names the text in messages.
void check_json_bytes(const std::string& what, std::string_view text);

// What a parser tells of a text. All parsing goes through one instance of nlohmann's, and all values are of one type: each further one takes 40 kB.
using JsonEvents = nlohmann::json_sax<nlohmann::ordered_json>;
// nlohmann's number of the error that is JSON all the same: a number beyond float64.
inline constexpr int kNumberOverflow = 406;
void parse_json_events(std::string_view text, JsonEvents& events);

// Of one object. kLastCounts: as in Python, the value of the last one, in the place of the first.
enum class EqualKeys { kRefused, kLastCounts };

// Parses a value, members in the order of the text. kCorrupt: not JSON, equal keys where they are refused, a number beyond float64, nested deeper than 100.
nlohmann::ordered_json parse_json_value(const std::string& file, std::string_view text, EqualKeys equal_keys = EqualKeys::kRefused);
// The same; anything but an object is kCorrupt.
nlohmann::ordered_json parse_json(const std::string& file, std::string_view text);

// Appends a string or a number as nlohmann's dump() writes them, without making a value of it; bytes that are no UTF-8 are replaced.
void append_json(std::string& out, std::string_view text);
void append_json(std::string& out, double number);
void append_json(std::string& out, int64_t number);

// Text for a file: indented, ends with a newline; bytes that are no UTF-8 are replaced.
std::string json_file_text(const nlohmann::ordered_json& value);

}  // namespace nvfp4cal::checkpoint
