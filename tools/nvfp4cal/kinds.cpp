#include "kinds.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <vector>

#include "text.h"

namespace nvfp4cal_tool {

namespace {

using nlohmann::json;

constexpr size_t kWidest = 40;  // of the first column

struct Kind {
  std::string name;
  int64_t tensors = 0, elements = 0;
  double error = 0.0, total = 0.0;
  bool measured = true;

  void add(const json& tensor) {
    int64_t n = 1;
    for (const json& extent : tensor["shape"]) n *= extent.get<int64_t>();
    ++tensors;
    elements += n;
    measured = measured && tensor.contains("squared_error");
    error += tensor.value("squared_error", 0.0);
    total += tensor.value("sum_squares", 0.0);
  }
};

std::string cut(const std::string& text) { return text.size() <= kWidest ? text : text.substr(0, kWidest - 3) + "..."; }

void print_row(const Kind& kind, size_t width) {
  std::printf("%-*s %8lld %10s", static_cast<int>(width), cut(printable(kind.name)).c_str(), static_cast<long long>(kind.tensors),
              short_number(static_cast<double>(kind.elements)).c_str());
  if (kind.total > 0.0) {
    std::printf(" %11.2f %%", 100.0 * std::sqrt(kind.error / kind.total));
  } else if (kind.measured && kind.tensors > 0) {
    std::printf("  0 (all zero)");
  }
  std::printf("\n");
}

}  // namespace

void print_kinds(const json& layers, const char* title) {
  std::vector<Kind> kinds;
  std::map<std::string, size_t> places;
  Kind all{"total"};
  for (const json& layer : layers) {
    const std::string name = layer_kind(layer["name"].get<std::string>());
    const auto [place, fresh] = places.emplace(name, kinds.size());
    if (fresh) kinds.push_back({name});
    kinds[place->second].add(layer);
    all.add(layer);
  }
  size_t width = 12;
  for (const Kind& kind : kinds) width = std::max(width, std::min(kind.name.size(), kWidest));
  std::printf("%-*s %8s %10s", static_cast<int>(width), title, "tensors", "elements");
  std::printf(all.measured ? " %13s\n" : "\n", "rel. error");
  for (const Kind& kind : kinds) print_row(kind, width);
  print_row(all, width);
}

}  // namespace nvfp4cal_tool
