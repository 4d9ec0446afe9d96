#include "targets.h"

#include <cstdio>

namespace bench {

namespace {

class Check {
 public:
  explicit Check(const std::vector<Row>& rows) : rows_(rows) {}

  void run() {
    for (const Row& row : rows_) {
      if (row.threads != 1) continue;
      if (row.input == "normal" && (row.op == "amax" || row.op == "dequantize")) wants("of the roof", row, row.ratio, 0.8);
      if (row.op == "sweep") against_normal(row);
      if (row.op == "quantize_mse" && row.input == "normal") against_sweep(row);
    }
  }
  int missed() const { return missed_; }

 private:
  const Row* find(const Row& like, const std::string& op, const std::string& input) const {
    for (const Row& row : rows_) {
      if (row.op == op && row.input == input && row.dtype == like.dtype && row.target == like.target && row.threads == like.threads)
        return &row;
    }
    return nullptr;
  }

  // No input takes more than twice the time of ordinary weights.
  void against_normal(const Row& row) {
    const Row* normal = find(row, "sweep", "normal");
    if (normal && row.input != "normal") wants("of normal input", row, row.gels / normal->gels, 0.5);
  }

  // Codes and nibbles cost a third of the search. An amax given by the caller makes the library look for what is not finite before it
  // writes: as much as finding the amax.
  void against_sweep(const Row& row) {
    const Row *sweep = find(row, "sweep", "normal"), *amax = find(row, "amax", "normal");
    if (sweep && amax) wants("of the sweep, without the look ahead", row, (1 / sweep->gels) / (1 / row.gels - 1 / amax->gels), 0.75);
  }

  void wants(const char* what, const Row& row, double ratio, double least) {
    const bool met = ratio >= least;
    std::printf("%s %s %s %s %s: %.2f %s, target %.2f\n", met ? "met   " : "MISSED", row.target.c_str(), row.op.c_str(), row.dtype.c_str(),
                row.input.c_str(), ratio, what, least);
    missed_ += met ? 0 : 1;
  }

  const std::vector<Row>& rows_;
  int missed_ = 0;
};

}  // namespace

int check_targets(const std::vector<Row>& rows) {
  Check check(rows);
  check.run();
  return check.missed();
}

}  // namespace bench
