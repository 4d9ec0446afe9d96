// What the library promises of its speed, as ratios of rows of one run: docs/performance.md, "Targets".
#pragma once

#include <string>
#include <vector>

namespace bench {

// One measurement. Gel/s: 10^9 elements a second.
struct Row {
  std::string op, dtype, input, target;
  int threads;
  double gels, median, roof_gels, ratio;
  double normal_gels;  // of the same op on normal input in the same turns; 0: was not measured
};

// Prints every target that rows answer, and whether it is met. The number of those that are missed.
int check_targets(const std::vector<Row>& rows);

}  // namespace bench
