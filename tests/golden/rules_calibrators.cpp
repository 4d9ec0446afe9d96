// Rules of the multiplier search and of the activation histogram.
#include <algorithm>
#include <cstdlib>

#include "golden/rules.h"

namespace nvfp4cal::test {

namespace {

// Candidates with their float64 losses, [candidates, channels] in row-major order.
struct Losses {
  std::vector<float> candidates;
  std::vector<double> values;

  size_t channels() const { return values.size() / candidates.size(); }
  double least(size_t channel) const {
    double least = values[channel];
    for (size_t m = 0; m < candidates.size(); ++m) least = std::min(least, values[m * channels() + channel]);
    return least;
  }
  double at(size_t m, size_t channel) const { return values[m * channels() + channel]; }
  // Losses at every candidate that turns `initial` into `amax`: the least of them; -1 where there is none.
  double of(float initial, float amax, size_t channel) const {
    double found = -1.0;
    for (size_t m = 0; m < candidates.size(); ++m) {
      if (initial * candidates[m] == amax && (found < 0 || at(m, channel) < found)) found = at(m, channel);
    }
    return found;
  }
};

// amax: the expected bits, or a candidate whose loss is as good as the least one. Also: it is initial * multiplier, in the initial amax's shape.
void multiplier(Check& check) {
  const GoldenTensor &amax = check.compared(0), &initial = check.one().input("initial_amax");
  if (amax.shape != initial.shape) return check.fail("the amax has not the initial amax's shape");
  const Losses losses{check.one().expected("candidates").floats(), check.one().expected("losses_f64").numbers()};
  const std::vector<float> found = amax.floats(), wanted = check.expected().floats(), start = initial.floats(),
                           multipliers = check.output(check.argument(1)).floats();
  if (multipliers.size() != found.size()) return check.fail("not one multiplier an amax");
  if (losses.candidates.empty() || losses.channels() == 0) return check.fail("no losses are expected");
  Tally tally;
  for (size_t a = 0; a < found.size(); ++a) {
    const size_t channel = losses.channels() == 1 ? 0 : a;
    if (channel >= losses.channels()) return check.fail("more amaxes than channels");
    const double limit = losses.least(channel) * (1 + 1e-6), mine = losses.of(start[a], found[a], channel),
                 theirs = losses.of(start[a], wanted[a], channel);
    tally.add(found[a] == start[a] * multipliers[a] && mine >= 0 && (found[a] == wanted[a] || mine <= limit) && theirs >= 0 &&
                  theirs <= losses.least(channel) * (1 + 1e-4),
              a, static_cast<double>(found[a]), static_cast<double>(wanted[a]));
    if (found[a] != wanted[a]) check.differ();
  }
  tally.report(check);
}

// Blocks that must move to a neighbouring bin to make one histogram the other; -1 where the totals differ.
int64_t moves(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  int64_t ahead = 0, moved = 0;
  for (size_t k = 0; k < a.size(); ++k) {
    ahead += a[k] - b[k];
    moved += std::abs(ahead);
  }
  return ahead == 0 ? moved : -1;
}

// agreement.near_edge blocks may fall in the neighbouring bin.
void counts(Check& check) {
  const std::vector<int64_t> found = check.compared(0).as<int64_t>(), wanted = check.expected().as<int64_t>();
  const int64_t moved = moves(found, wanted), allowed = check.one().agreed("near_edge");
  if (moved < 0 || moved > allowed) {
    check.fail(moved < 0 ? "another number of blocks"
                         : std::to_string(moved) + " blocks in a neighbouring bin, " + std::to_string(allowed) + " are near an edge");
  } else {
    check.differ(moved);
  }
}

// A result moves with its bin, where blocks fell in a neighbouring one.
double tolerance_of(const Check& check, double tolerance) {
  if (same_bits(check.output("counts"), check.one().expected("counts_peer"))) return tolerance;
  const double width = (check.one().param("log2_max", 40.0) - check.one().param("log2_min", -40.0)) / check.one().param("num_bins", 512);
  return std::exp2(width) - 1 + tolerance;
}

void result(Check& check) {
  const double found = check.compared(0).numbers().at(0), wanted = check.expected().numbers().at(0);
  Tally tally;
  tally.add(close(found, wanted, tolerance_of(check, 1e-6)), 0, found, wanted);
  tally.report(check);
}

// The largest magnitude is exact; at 100 percent it is also B_max, where the file holds the percentile's bin.
void percentiles(Check& check) {
  const std::vector<double> found = check.compared(0).numbers();
  std::vector<double> wanted = check.expected().numbers();
  if (check.one().param("upper_percentile", 99.99) >= 100.0) wanted.at(1) = wanted.at(2);
  Tally tally;
  for (size_t i = 0; i < 3; ++i)
    tally.add(close(found.at(i), wanted.at(i), i == 2 ? 0.0 : tolerance_of(check, 1e-12)), i, found.at(i), wanted.at(i));
  tally.report(check);
}

}  // namespace

const Rules& calibrator_rules() {
  static const Rules kRules = {{"multiplier", multiplier}, {"counts", counts}, {"result", result}, {"percentiles", percentiles}};
  return kRules;
}

}  // namespace nvfp4cal::test
