#include "summary.h"

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "kinds.h"
#include "text.h"

namespace nvfp4cal_tool {

namespace {

using nlohmann::json;

constexpr size_t kNamesShown = 3;

std::string in_words(const std::string& reason) {
  if (reason == "1-D") return "1-D (norms, biases)";
  // one line for all the members of fused groups and experts: each names the one that was the cause
  if (reason.rfind("fused with ", 0) == 0) return "fused with a layer that is copied";
  if (reason.rfind("of the same experts as ", 0) == 0) return "of the same experts as a layer that is copied";
  return reason;
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

bool flushed() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

}  // namespace

void print_left(const nlohmann::json& files) {
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string name = files[i]["name"].get<std::string>(), reason = files[i]["reason"].get<std::string>();
    std::printf("%s%s (%s)", i ? ", " : "\nleft behind  ", printable(name).c_str(), printable(reason).c_str());
  }
  if (!files.empty()) std::printf("\n");
}

bool print_summary(const std::string& report_json) {
  const json report = json::parse(report_json);
  const json& totals = report["totals"];
  json quantized = json::array();
  for (const json& tensor : report["tensors"]) {
    if (tensor["action"] == "quantized") quantized.push_back(tensor);
  }
  print_kinds(quantized, "quantized");
  print_copied(report["tensors"]);
  print_left(report["files_left"]);
  const double in = totals["bytes_in"].get<double>(), out = totals["bytes_out"].get<double>();
  std::printf("\n%s -> %s (%.0f %%)", short_number(in, "B").c_str(), short_number(out, "B").c_str(), 100.0 * out / in);
  if (report["dry_run"].get<bool>()) {
    std::printf("; a dry run: nothing was written\n");
  } else {
    // A rate would say little of shards that were read and kept.
    const int64_t kept = totals["shards_kept"].get<int64_t>();
    std::printf(" in %.1f s", totals["seconds"].get<double>());
    if (kept > 0) {
      std::printf("; %lld of %s kept from an earlier run\n", static_cast<long long>(kept),
                  counted(static_cast<int64_t>(report["shards"].size()), "shard").c_str());
    } else {
      std::printf(", %s weights/s\n", short_number(totals["gel_per_s"].get<double>() * 1e9).c_str());
    }
  }
  return flushed();
}

bool print_json(const std::string& report_json) {
  std::fputs(report_json.c_str(), stdout);
  return flushed();
}

void print_warnings(const std::string& report_json) {
  // The last member of a report, whose lists of tensors may be long; a new line lies in no string.
  const size_t last = report_json.rfind("\n  \"warnings\": ");
  const json report = json::parse(last == std::string::npos ? report_json : '{' + report_json.substr(last));
  for (const json& warning : report["warnings"])
    std::fprintf(stderr, "nvfp4cal: warning: %s\n", printable(warning.get<std::string>()).c_str());
}

}  // namespace nvfp4cal_tool
