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
      if (row.normal_gels > 0) wants("of normal input", row, row.gels / row.normal_gels, 0.5);
      if (row.input != "normal") continue;
      if (row.op == "amax" || row.op == "histogram" || row.op == "dequantize") wants("of the roof", row, row.ratio, 0.8);
      if (row.op == "fake_quantize") wants("of the roof, without the look ahead", row, without_look_ahead(row) / row.roof_gels, 0.8);
      if (row.op == "quantize_mse") against_sweep("of the sweep, without the look ahead", row, without_look_ahead(row), 0.75);
      for (const Weighted& weighted : kWeighted) {
        if (row.op == weighted.op)
          against_sweep("of the sweep", row, row.gels, row.dtype == "f32" ? weighted.of_plain : weighted.of_plain_halves);
      }
    }
  }
  int missed() const { return missed_; }

 private:
  // Shares of the plain search (4-byte and 2-byte types), all at the prototype's speed or above: docs/performance.md.
  struct Weighted {
    const char* op;
    double of_plain, of_plain_halves;
  };
  static constexpr Weighted kWeighted[] = {{"sweep_weighted", 0.60, 0.58},
                                           {"sweep_weighted_uniform", 0.72, 0.69},
                                           {"sweep_weighted_lognormal2", 0.43, 0.41},
                                           {"sweep_weighted_outliers", 0.46, 0.44}};

  const Row* find(const Row& like, const std::string& op) const {
    for (const Row& row : rows_) {
      if (row.op == op && row.input == like.input && row.dtype == like.dtype && row.target == like.target && row.threads == like.threads)
        return &row;
    }
    return nullptr;
  }

  // An amax given by the caller makes the library look for what is not finite before it writes: as much as finding the amax.
  double without_look_ahead(const Row& row) const {
    const Row* const amax = find(row, "amax");
    return amax ? 1 / (1 / row.gels - 1 / amax->gels) : 0.0;
  }

  void against_sweep(const char* what, const Row& row, double gels, double least) {
    const Row* const sweep = find(row, "sweep");
    if (sweep) wants(what, row, gels / sweep->gels, least);
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
