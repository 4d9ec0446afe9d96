// How outputs are compared with expectations: every rule that table.json names, one function each. README.md has the formulas.
#pragma once

#include <cmath>
#include <sstream>

#include "golden/case.h"

namespace nvfp4cal::test {

// One rule applied to one expectation of a case.
class Check {
 public:
  Check(const Case& one, const Outputs& outputs, const std::string& key) : one_(one), outputs_(outputs), key_(key) {}

  // `text` is a rule's name and its arguments, "relative losses 1e-9". What throws is a failure of the case.
  void apply(const std::string& text);

  const Case& one() const { return one_; }
  const GoldenTensor& expected() const { return one_.expected(key_); }
  const GoldenTensor& output(const std::string& name) const;
  bool has_argument(size_t i) const { return i < arguments_.size(); }
  const std::string& argument(size_t i) const { return arguments_.at(i); }
  // The output that argument i names; its number of elements and its shape must be those of the expectation.
  const GoldenTensor& compared(size_t i) const;
  double number(size_t i) const { return std::stod(arguments_.at(i)); }

  void fail(const std::string& message) { failures_.push_back(key_ + ": " + rule_ + ": " + message); }
  // Entries that differ from the expectation as the rule allows.
  void differ(int64_t entries = 1) { differing_ += entries; }

  const std::vector<std::string>& failures() const { return failures_; }
  int64_t differing() const { return differing_; }

 private:
  const Case& one_;
  const Outputs& outputs_;
  std::string key_, rule_;
  std::vector<std::string> arguments_;
  std::vector<std::string> failures_;
  int64_t differing_ = 0;
};

using Rule = void (*)(Check&);
using Rules = std::map<std::string, Rule>;
const Rules& search_rules();
const Rules& calibrator_rules();
const Rules& observer_rules();
const Rules& qwantize_rules();
const Rules& pack_rules();

// Counts entries outside a rule and keeps the first, for one line of a report.
class Tally {
 public:
  void add(bool good, size_t index, double found, double wanted);
  int64_t wrong() const { return wrong_; }
  // Fails the check if more than `allowed` entries were wrong.
  void report(Check& check, int64_t allowed = 0) const;

 private:
  int64_t checked_ = 0, wrong_ = 0;
  std::string first_;
};

// |a - b| <= tolerance |b|; NaN equals NaN.
inline bool close(double a, double b, double tolerance) {
  return a == b || (std::isnan(a) && std::isnan(b)) || std::fabs(a - b) <= tolerance * std::fabs(b);
}

inline bool same_bits(const GoldenTensor& a, const GoldenTensor& b) { return a.bytes == b.bytes; }

}  // namespace nvfp4cal::test
