#include "checkpoint/config_text.h"

#include <string_view>

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
// to another number. `first` is set to the first literal.
std::string without_literals(std::string text, std::string_view& first) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      for (const std::string_view literal : kLiterals) {
        if (std::string_view(text).substr(i, literal.size()) != literal) continue;
        if (first.empty()) first = literal;
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

// The white space before the first member; two spaces for a text in one line.
std::string indentation(const std::string& text) {
  const size_t line = text.find('\n');
  const size_t end = line == std::string::npos ? line : text.find_first_not_of(" \t", line + 1);
  if (end == std::string::npos || end == line + 1 || text[end] != '"') return "  ";
  return text.substr(line + 1, end - line - 1);
}

std::string rewritten(const std::string& text, const ordered_json& quantization) {
  std::string_view literal;
  without_literals(text, literal);
  if (!literal.empty()) {
    fail(Status::kInvalidArgument, "%s: a quantization_config or compression_config that is null cannot be replaced beside %s", kConfigName,
         std::string(literal).c_str());
  }
  ordered_json config = parse_config(text);
  for (const char* member : kConfigMembers) config.erase(member);
  config[kConfigMembers[0]] = quantization;
  return json_file_text(config);
}

}  // namespace

ordered_json parse_config(const std::string& text) {
  std::string_view literal;
  return parse_json(kConfigName, without_literals(text, literal));
}

void refuse_quantized_config(const ordered_json& config) {
  refuse_members(config, "");
  for (const auto& [name, value] : config.items()) {
    if (value.is_object()) refuse_members(value, name + ".");
  }
}

std::string with_quantization_config(const std::string& text, const ordered_json& quantization) {
  const ordered_json config = parse_config(text);
  for (const char* member : kConfigMembers) {
    if (config.contains(member)) return rewritten(text, quantization);
  }
  const size_t brace = text.rfind('}');  // of the top-level object: the text has been parsed
  const size_t last = text.find_last_not_of(kSpace, brace - 1);
  const std::string indent = indentation(text);
  const std::string member = quantization.dump(static_cast<int>(indent.size()), indent[0]);
  std::string result = text.substr(0, last + 1) + (config.empty() ? "\n" : ",\n") + indent + '"' + kConfigMembers[0] + "\": ";
  for (const char c : member) {
    result += c;
    if (c == '\n') result += indent;
  }
  return result + "\n" + text.substr(brace);
}

}  // namespace nvfp4cal::checkpoint
