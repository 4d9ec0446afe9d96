#include "summary.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

namespace nvfp4cal_tool {

namespace {

using nlohmann::json;

constexpr size_t kNamesShown = 3;
constexpr size_t kWidest = 40;  // of the first column

struct Kind {
  std::string name;
  int64_t tensors = 0, elements = 0;
  double error = 0.0, total = 0.0;

  void add(const json& tensor) {
    int64_t n = 1;
    for (const json& extent : tensor["shape"]) n *= extent.get<int64_t>();
    ++tensors;
    elements += n;
    error += tensor.value("squared_error", 0.0);
    total += tensor.value("sum_squares", 0.0);
  }
};

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// 1234567 -> "1.23 M"
std::string short_number(double value, const char* unit = "") {
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

std::string cut(const std::string& text) { return text.size() <= kWidest ? text : text.substr(0, kWidest - 3) + "..."; }

void print_row(const Kind& kind, size_t width) {
  std::printf("%-*s %8lld %10s", static_cast<int>(width), cut(printable(kind.name)).c_str(), static_cast<long long>(kind.tensors),
              short_number(static_cast<double>(kind.elements)).c_str());
  if (kind.total > 0.0) {
    std::printf(" %11.2f %%", 100.0 * std::sqrt(kind.error / kind.total));
  } else {
    std::printf("  0 (all zero)");
  }
  std::printf("\n");
}

// Kinds in the order of their first tensor.
void print_quantized(const json& tensors) {
  std::vector<Kind> kinds;
  std::map<std::string, size_t> places;
  Kind all{"total"};
  for (const json& tensor : tensors) {
    if (tensor["action"] != "quantized") continue;
    const std::string name = layer_kind(tensor["name"].get<std::string>());
    const auto [place, fresh] = places.emplace(name, kinds.size());
    if (fresh) kinds.push_back({name});
    kinds[place->second].add(tensor);
    all.add(tensor);
  }
  size_t width = 12;
  for (const Kind& kind : kinds) width = std::max(width, std::min(kind.name.size(), kWidest));
  std::printf("%-*s %8s %10s %13s\n", static_cast<int>(width), "quantized", "tensors", "elements", "rel. error");
  for (const Kind& kind : kinds) print_row(kind, width);
  print_row(all, width);
}

std::string in_words(const std::string& reason) {
  if (reason == "1-D") return "1-D (norms, biases)";
  // one line for all the members of fused groups and experts: each names the one that was the cause
  if (reason.rfind("fused with ", 0) == 0) return "fused with a layer that is copied";
  if (reason.rfind("of the same experts as ", 0) == 0) return "of the same experts as a layer that is copied";
  return reason;
}

void print_left(const json& files) {
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string name = files[i]["name"].get<std::string>(), reason = files[i]["reason"].get<std::string>();
    std::printf("%s%s (%s)", i ? ", " : "\nleft behind  ", printable(name).c_str(), printable(reason).c_str());
  }
  if (!files.empty()) std::printf("\n");
}

void print_copied(const json& tensors) {
  std::vector<std::string> reasons;
  std::map<std::string, std::vector<std::string>> names;
  for (const json& tensor : tensors) {
    if (tensor["action"] != "copied") continue;
    const std::string reason = in_words(tensor["reason"].get<std::string>());
    if (names[reason].empty()) reasons.push_back(reason);
    names[reason].push_back(tensor["name"].get<std::string>());
  }
  if (reasons.empty()) return;
  std::printf("\n%-12s %8s\n", "copied", "tensors");
  for (const std::string& reason : reasons) {
    const std::vector<std::string>& list = names[reason];
    std::printf("%21zu  %s", list.size(), printable(reason).c_str());
    for (size_t i = 0; i < list.size() && list.size() <= kNamesShown; ++i) std::printf("%s%s", i ? ", " : ": ", printable(list[i]).c_str());
    std::printf("\n");
  }
}

}  // namespace

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

std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return text;
}

bool print_summary(const std::string& report_json) {
  const json report = json::parse(report_json);
  const json& totals = report["totals"];
  print_quantized(report["tensors"]);
  print_copied(report["tensors"]);
  print_left(report["files_left"]);
  const double in = totals["bytes_in"].get<double>(), out = totals["bytes_out"].get<double>();
  std::printf("\n%s -> %s (%.0f %%) in %.1f s, %s weights/s\n", short_number(in, "B").c_str(), short_number(out, "B").c_str(),
              100.0 * out / in, totals["seconds"].get<double>(), short_number(totals["gel_per_s"].get<double>() * 1e9).c_str());
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
}

void print_warnings(const std::string& report_json) {
  const json report = json::parse(report_json);
  for (const json& warning : report["warnings"])
    std::fprintf(stderr, "nvfp4cal: warning: %s\n", printable(warning.get<std::string>()).c_str());
}

}  // namespace nvfp4cal_tool
