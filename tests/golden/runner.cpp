#include "golden/runner.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>

#include "golden/adapters.h"
#include "golden/rules.h"

namespace nvfp4cal::test {

namespace {

bool lists(const nlohmann::json& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

// x0, x1, ...
bool is_numbered(const std::string& key) {
  return key.size() > 1 && key[0] == 'x' && key.find_first_not_of("0123456789", 1) == std::string::npos;
}

// Keys of `object` that are not in the list.
void add_unknown(std::vector<std::string>& out, const char* kind, const nlohmann::json& object, const nlohmann::json& known) {
  for (const auto& [key, value] : object.items()) {
    if (!known.contains(key) && !lists(known, key)) out.push_back(std::string(kind) + " " + key + " is not known");
  }
}

}  // namespace

std::vector<std::string> Table::families() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : description_.at("families").items()) names.push_back(name);
  return names;
}

const nlohmann::json& Table::family(const Case& one) const {
  const std::string name = one.family.description.at("family");
  if (!description_.at("families").contains(name)) throw std::runtime_error("family " + name + " is not known");
  return description_.at("families").at(name);
}

// Of the case's rule, which may be another name of one.
const nlohmann::json& Table::expectations(const Case& one) const {
  const nlohmann::json& rules = family(one).at("rules");
  const std::string rule = one.one.at("rule");
  if (!rules.contains(rule)) throw std::runtime_error("rule " + rule + " is not known");
  return rules.at(rule).is_string() ? rules.at(rules.at(rule).get<std::string>()) : rules.at(rule);
}

std::vector<std::string> Table::unknown(const Case& one) const {
  std::vector<std::string> out;
  const nlohmann::json& known = family(one);
  add_unknown(out, "key", one.one, description_.at("case"));
  add_unknown(out, "expectation", one.one.at("expect"), expectations(one));
  nlohmann::json params = known.at("params"), inputs = known.at("inputs");
  for (const auto& note : description_.at("notes")) params.push_back(note);
  add_unknown(out, "param", one.one.at("params"), params);
  const size_t stream = one.stream().size();
  for (const auto& [key, value] : one.one.at("inputs").items()) {
    if (is_numbered(key) && lists(inputs, "x*")) inputs.push_back(std::stoul(key.substr(1)) < stream ? key : "");
  }
  add_unknown(out, "input", one.one.at("inputs"), inputs);
  return out;
}

std::vector<std::pair<std::string, std::string>> Table::comparisons(const Case& one) const {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add = [&](const nlohmann::json& keys, const nlohmann::json& rules) {
    for (const auto& [key, texts] : rules.items()) {
      if (!keys.contains(key)) continue;
      for (const auto& text : texts) out.emplace_back(key, text);
    }
  };
  add(one.one.at("expect"), expectations(one));
  add(one.one.at("params"), family(one).value("expect_params", nlohmann::json::object()));
  return out;
}

std::vector<RunSetting> all_settings() {
  std::vector<RunSetting> settings;
  std::istringstream targets(nvfp4cal_cpu_targets());
  for (std::string target; std::getline(targets, target, ',');) {
    for (const int threads : {1, 2, 7}) {
      Context context(created(nvfp4cal_context_create));
      ok(nvfp4cal_context_set_cpu_target(context.get(), target.c_str()));
      ok(nvfp4cal_context_set_threads(context.get(), threads));
      settings.push_back({target + ", " + std::to_string(threads) + " threads", std::move(context)});
    }
  }
  return settings;
}

CaseReport run_case(const Table& table, const GoldenFamily& family, const nlohmann::json& description,
                    const std::vector<RunSetting>& settings) {
  CaseReport report;
  try {
    const Case one{family, description};
    report.failures = table.unknown(one);
    const Adapter adapter = adapter_of(family.description.at("family"));
    Outputs outputs;
    for (const RunSetting& setting : settings) {
      Outputs found = adapter(one, setting.context.get());
      const std::string differs = report.settings++ == 0 ? "" : difference(outputs, found);
      if (!differs.empty()) report.failures.push_back(setting.name + ": " + differs + " (first: " + settings[0].name + ")");
      if (report.settings == 1) outputs = std::move(found);
    }
    std::set<std::string> compared;
    for (const auto& [key, rule] : table.comparisons(one)) {
      Check check(one, outputs, key);
      try {
        check.apply(rule);
      } catch (const std::exception& error) {
        check.fail(error.what());
      }
      report.failures.insert(report.failures.end(), check.failures().begin(), check.failures().end());
      if (check.differing() > 0) report.differing[key] += check.differing();
      compared.insert(key);
    }
    report.compared = static_cast<int>(compared.size());
    for (const auto& [key, tensor] : description.at("expect").items()) {
      if (!compared.count(key)) report.failures.push_back("expectation " + key + " was not compared");
    }
    if (compared.empty()) report.failures.push_back("nothing was compared");
  } catch (const std::exception& error) {
    report.failures.push_back(error.what());
  }
  return report;
}

FamilyReport run_family(const Table& table, const GoldenFamily& family, const std::vector<RunSetting>& settings) {
  FamilyReport report;
  report.name = family.description.value("family", "");
  for (const nlohmann::json& one : family.cases()) {
    const CaseReport found = run_case(table, family, one, settings);
    for (const std::string& failure : found.failures) report.failures.push_back(one.value("name", "") + ": " + failure);
    report.run += found.compared > 0 && found.settings == static_cast<int>(settings.size());
    report.compared += found.compared;
    for (const auto& [key, count] : found.differing) report.differing[key] += count;
  }
  return report;
}

std::string difference(const Outputs& a, const Outputs& b) {
  for (const auto& [name, tensor] : a) {
    const auto found = b.find(name);
    if (found == b.end()) return "no output " + name;
    if (found->second.shape != tensor.shape || found->second.dtype != tensor.dtype) return name + " has another shape or dtype";
    const auto [x, y] = std::mismatch(tensor.bytes.begin(), tensor.bytes.end(), found->second.bytes.begin());
    if (x != tensor.bytes.end()) return name + " differs from byte " + std::to_string(x - tensor.bytes.begin());
  }
  return a.size() == b.size() ? "" : "more outputs";
}

std::string cases_folder() {
  const char* const folder = std::getenv("NVFP4CAL_GOLDEN_DIR");
  return folder && *folder ? folder : golden_folder() + "/data";
}

bool is_own(const std::string& folder) { return std::filesystem::equivalent(folder, golden_folder() + "/data"); }

std::vector<std::string> families_in(const std::string& folder) {
  std::vector<std::string> stems;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") stems.push_back((entry.path().parent_path() / entry.path().stem()).string());
  }
  if (stems.empty()) throw std::runtime_error(folder + " has no golden cases");
  std::sort(stems.begin(), stems.end());
  return stems;
}

}  // namespace nvfp4cal::test
