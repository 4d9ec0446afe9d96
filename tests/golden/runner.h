// Runs the cases of a folder: looks each up in table.json, calls the library on every CPU target and thread count, compares.
#pragma once

#include "golden/calls.h"

namespace nvfp4cal::test {

// What table.json says.
class Table {
 public:
  explicit Table(nlohmann::json description) : description_(std::move(description)) {}

  std::vector<std::string> families() const;
  // What the table does not know of a case: keys, inputs, params, expectations, its rule.
  std::vector<std::string> unknown(const Case& one) const;
  // Rules of the case's expectations: key, then what Check::apply takes.
  std::vector<std::pair<std::string, std::string>> comparisons(const Case& one) const;

 private:
  const nlohmann::json& family(const Case& one) const;
  const nlohmann::json& expectations(const Case& one) const;

  nlohmann::json description_;
};

// A setting to run under.
struct RunSetting {
  std::string name;  // "avx2, 7 threads"
  Context context;
};
// Every CPU target of the machine with 1, 2 and 7 threads.
std::vector<RunSetting> all_settings();

// How many entries differ from their expectation within its rule; expectations without any are left out.
using Differing = std::map<std::string, int64_t>;

struct CaseReport {
  std::vector<std::string> failures;  // empty: the case passes
  int settings = 0;                   // under how many the case was run
  int compared = 0;                   // expectations that were compared
  Differing differing;
};
CaseReport run_case(const Table& table, const GoldenFamily& family, const nlohmann::json& one, const std::vector<RunSetting>& settings);

struct FamilyReport {
  std::string name;
  std::vector<std::string> failures;  // each begins with the case's name
  int run = 0;                        // cases that were run under all settings and compared with all they expect
  int compared = 0;
  Differing differing;
};
FamilyReport run_family(const Table& table, const GoldenFamily& family, const std::vector<RunSetting>& settings);

// Where the second outputs are not the first, bit for bit; empty where they are.
std::string difference(const Outputs& a, const Outputs& b);

// The folder whose cases are run: NVFP4CAL_GOLDEN_DIR, or the repository's.
std::string cases_folder();
bool is_own(const std::string& folder);
// Its families, as paths without .json. Throws where the folder has none.
std::vector<std::string> families_in(const std::string& folder);

}  // namespace nvfp4cal::test
