// Inspections, verifications and conversions in words.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "kinds.h"
#include "summary.h"
#include "text.h"

namespace nvfp4cal_tool {

namespace {

using nlohmann::json;

constexpr size_t kListed = 20;  // of long lists

std::string word(const json& value, const char* otherwise) { return value.is_string() ? printable(value.get<std::string>()) : otherwise; }

void row(const char* name, const std::string& text) { std::printf("%-14s %s\n", name, text.c_str()); }

std::string range(const json& layers, const char* lowest, const char* highest) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const json& layer : layers) {
    if (layer[lowest].is_number()) low = std::min(low, layer[lowest].get<double>());
    if (layer[highest].is_number()) high = std::max(high, layer[highest].get<double>());
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.4g .. %.4g", low, high);
  return low <= high ? text : "none";
}

void print_sizes(const json& report) {
  const json& totals = report["totals"];
  const double elements = totals["elements"].get<double>(), quantized = totals["elements_quantized"].get<double>();
  const int64_t layers = totals["layers"].get<int64_t>();
  row("files", std::to_string(totals["files"].get<int64_t>()) + ", " + short_number(totals["bytes_files"].get<double>(), "B"));
  row("tensors", std::to_string(totals["tensors"].get<int64_t>()) + ": " + counted(layers, "quantized layer") + ", " +
                     counted(static_cast<int64_t>(report["others"].size()), "other"));
  std::string text = short_number(elements);
  if (quantized > 0.0) {
    char bits[96];
    std::snprintf(bits, sizeof bits, ", %.1f %% of them in NVFP4 (%.3f bits each; all: %.2f)", 100.0 * quantized / elements,
                  8.0 * totals["bytes_quantized"].get<double>() / quantized, 8.0 * totals["bytes"].get<double>() / elements);
    text += bits;
  }
  row("elements", text);
}

void print_groups(const json& groups) {
  const auto unequal = std::count_if(groups.begin(), groups.end(), [](const json& group) { return !group["equal"].get<bool>(); });
  row("fused groups",
      std::to_string(groups.size()) + (unequal == 0 ? ", scales equal in each" : ", " + std::to_string(unequal) + " with unequal scales"));
}

// The first ones of a list of objects with name and text, or of names.
void print_list(const char* title, const json& list) {
  if (list.empty()) return;
  std::printf("\n%s: %zu\n", title, list.size());
  for (size_t i = 0; i < std::min(list.size(), kListed); ++i) {
    const json& item = list[i];
    if (item.is_string()) {
      std::printf("  %s\n", printable(item.get<std::string>()).c_str());
    } else {
      const std::string kind = item.contains("kind") ? item["kind"].get<std::string>() + ": " : "";
      std::printf("  %s%s: %s\n", kind.c_str(), printable(item["name"].get<std::string>()).c_str(),
                  printable(item["text"].get<std::string>()).c_str());
    }
  }
  if (list.size() > kListed) std::printf("  ... and %zu more (--json has all)\n", list.size() - kListed);
}

bool flushed() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

}  // namespace

bool print_inspection(const std::string& report_json) {
  const json report = json::parse(report_json);
  const json& layers = report["layers"];
  row("format", word(report["format"], "not NVFP4") + (report["algorithm"].is_string() ? " (" + word(report["algorithm"], "") + ")" : ""));
  print_sizes(report);
  if (!layers.empty()) {
    row("block scales", range(layers, "scale_min", "scale_max"));
    row("global scales", range(layers, "global_scale", "global_scale"));
    const bool inputs = std::any_of(layers.begin(), layers.end(), [](const json& layer) { return layer.contains("input_scale"); });
    if (inputs) {
      json with = json::array();
      std::copy_if(layers.begin(), layers.end(), std::back_inserter(with), [](const json& layer) { return layer.contains("input_scale"); });
      row("input scales", range(with, "input_scale", "input_scale"));
    }
    print_groups(report["fused_groups"]);
    std::string configuration = report["quantization_config"].is_null() ? "" : "config.json";
    if (!report["hf_quant_config"].is_null()) configuration += std::string(configuration.empty() ? "" : ", ") + "hf_quant_config.json";
    row("configuration", configuration.empty() ? "none" : configuration);
  }
  row("defects", report["defects"].empty() ? "none" : std::to_string(report["defects"].size()));
  print_list("defects", report["defects"]);
  return flushed();
}

bool print_verification(const std::string& report_json) {
  const json report = json::parse(report_json);
  const json& totals = report["totals"];
  print_kinds(report["layers"], "decoded");
  std::printf("\n%s compared byte by byte\n", counted(totals["copied"].get<int64_t>(), "other tensor").c_str());
  print_list("missing", report["missing"]);
  print_list("extra", report["extra"]);
  print_list("different", report["different"]);
  if (!report["ok"].get<bool>()) std::printf("\nnot the same model\n");
  return flushed();
}

bool print_conversion(const std::string& report_json) {
  const json report = json::parse(report_json);
  const json& totals = report["totals"];
  std::printf("%s from %s to %s, %s\n", counted(totals["layers"].get<int64_t>(), "layer").c_str(), word(report["input_format"], "").c_str(),
              word(report["output_format"], "").c_str(), short_number(totals["bytes"].get<double>(), "B").c_str());
  print_left(report["files_left"]);
  return flushed();
}

}  // namespace nvfp4cal_tool
