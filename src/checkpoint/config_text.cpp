#include "checkpoint/config_text.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "checkpoint/json.h"
#include "checkpoint/output_format.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr std::string_view kLiterals[] = {"NaN", "Infinity", "-Infinity"};
constexpr std::string_view kSpace = " \t\r\n";

// Replaces the literals outside strings by a 0 between spaces: positions in messages stay right, and no neighbour can complete the 0
// to another number.
std::string without_literals(std::string text) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      for (const std::string_view literal : kLiterals) {
        if (std::string_view(text).substr(i, literal.size()) != literal) continue;
        text.replace(i, literal.size(), " 0" + std::string(literal.size() - 2, ' '));
      }
    }
  }
  return text;
}

void refuse_members(const ordered_json& config, const std::string& prefix) {
  for (const char* member : kConfigMembers) {
    if (config.contains(member) && !config[member].is_null()) {
      fail(Status::kInvalidArgument, "the model is already quantized: %s has a %s%s", kConfigName, prefix.c_str(), member);
    }
  }
}

// One member of the object that a valid JSON text is.
struct Member {
  std::string key;
  size_t key_begin, value_begin, value_end;
};

// The position behind the string that begins at `at`.
size_t end_of_string(std::string_view text, size_t at) {
  for (++at; text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

// The position behind the value that begins at `at`.
size_t end_of_value(std::string_view text, size_t at) {
  for (int depth = 0;;) {
    const char c = text[at];
    if ((c == ',' || c == '}' || c == ']') && depth == 0) break;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    at = c == '"' ? end_of_string(text, at) : at + 1;
  }
  return text.find_last_not_of(kSpace, at - 1) + 1;
}

std::vector<Member> members_of(std::string_view text) {
  std::vector<Member> members;
  size_t at = text.find_first_not_of(kSpace, text.find('{') + 1);
  while (text[at] != '}') {
    const size_t key_end = end_of_string(text, at);
    const size_t value = text.find_first_not_of(kSpace, text.find(':', key_end) + 1), end = end_of_value(text, value);
    const ordered_json key = parse_json_value(kConfigName, text.substr(at, key_end - at));  // it may hold escapes
    members.push_back({key.get<std::string>(), at, value, end});
    at = text.find_first_not_of(kSpace, end);
    if (text[at] == ',') at = text.find_first_not_of(kSpace, at + 1);
  }
  return members;
}

// The white space before the first member that begins a line; two spaces if there is none.
std::string indentation(std::string_view text, const std::vector<Member>& members) {
  constexpr size_t kWidest = 32;
  size_t end = 0;  // of the member before
  for (const Member& member : members) {
    const std::string_view between = text.substr(end, member.key_begin - end), before = between.substr(between.rfind('\n') + 1);
    const bool begins_line = before.size() < between.size() && before.find_first_not_of(" \t") == std::string::npos;
    if (begins_line && !before.empty() && before.size() <= kWidest) return std::string(before);
    end = member.value_end;
  }
  return "  ";
}

std::string member_text(const ordered_json& quantization, const std::string& indent) {
  std::string text = std::string("\"") + kConfigMembers[0] + "\": ";
  for (const char c : quantization.dump(static_cast<int>(indent.size()), indent[0])) {
    text += c;
    if (c == '\n') text += indent;
  }
  return text;
}

// The member that says how the model is quantized, or would; the end if there is none.
std::vector<Member>::const_iterator find_quantization(const std::vector<Member>& members) {
  for (const char* name : kConfigMembers) {
    const auto found = std::find_if(members.begin(), members.end(), [&](const Member& member) { return member.key == name; });
    if (found != members.end()) return found;
  }
  return members.end();
}

}  // namespace

ordered_json parse_config(const std::string& text) { return parse_json(kConfigName, without_literals(text)); }

void refuse_quantized_config(const ordered_json& config) {
  refuse_members(config, "");
  for (const auto& [name, value] : config.items()) {
    if (value.is_object()) refuse_members(value, name + ".");
  }
}

std::string with_quantization_config(const std::string& text, const ordered_json& quantization) {
  const std::vector<Member> members = members_of(text);
  const std::string indent = indentation(text, members), added = member_text(quantization, indent);
  const auto replaced = find_quantization(members);
  if (replaced == members.end()) {
    const size_t brace = text.rfind('}');
    const size_t last = text.find_last_not_of(kSpace, brace - 1);
    return text.substr(0, last + 1) + (members.empty() ? "\n" : ",\n") + indent + added + "\n" + text.substr(brace);
  }
  std::string result = text;
  for (auto member = members.rbegin(); member != members.rend(); ++member) {  // from the end: places before it stay
    if (&*member == &*replaced) {
      result.replace(member->key_begin, member->value_end - member->key_begin, added);
    } else if (member->key == kConfigMembers[1]) {
      result.replace(member->value_begin, member->value_end - member->value_begin, "null");
    }
  }
  return result;
}

}  // namespace nvfp4cal::checkpoint
