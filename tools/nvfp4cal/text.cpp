#include "text.h"

#include <algorithm>
#include <cstdio>
#include <vector>

namespace nvfp4cal_tool {

namespace {

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return text;
}

void print_error(const std::string& message) { std::fprintf(stderr, "nvfp4cal: %s\n", printable(message).c_str()); }

std::string short_number(double value, const char* unit) {
  static const char* const prefixes[] = {"", "k", "M", "G", "T", "P"};
  size_t prefix = 0;
  while (value >= 999.5 && prefix < 5) {
    value /= 1000.0;
    ++prefix;
  }
  char text[48];
  std::snprintf(text, sizeof text, "%.*f %s%s", prefix == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2, value, prefixes[prefix], unit);
  std::string result = text;
  while (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  char text[64];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%lld s", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lld min %lld s", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld h %lld min", whole / 3600, whole / 60 % 60);
  }
  return text;
}

std::string counted(int64_t n, const char* noun) { return std::to_string(n) + " " + noun + (n == 1 ? "" : "s"); }

std::string layer_kind(const std::string& tensor_name) {
  std::string name = tensor_name;
  const std::string suffix = ".weight";
  if (name.size() > suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0)
    name.resize(name.size() - suffix.size());
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  const auto number = std::find_if(parts.begin(), parts.end(), is_number);
  if (number == parts.end() || number + 1 == parts.end()) return name;
  std::string kind;
  for (auto part = number + 1; part != parts.end(); ++part) kind += (kind.empty() ? "" : ".") + (is_number(*part) ? "*" : *part);
  return kind;
}

}  // namespace nvfp4cal_tool
