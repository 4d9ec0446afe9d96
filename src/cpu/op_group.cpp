// Smallest and largest elements of groups.
#include <algorithm>
#include <atomic>
#include <vector>

#include "cpu/group_bands.h"
#include "cpu/ops.h"
#include "cpu/targets.h"

namespace nvfp4cal::cpu {

namespace {

struct Ranges {
  std::vector<float> min, max;

  explicit Ranges(size_t n) : min(n, num::from_bits(num::kInfBits)), max(n, -num::from_bits(num::kInfBits)) {}
};

}  // namespace

void group_range(const Execution& execution, const GroupRangeArgs& args) {
  const GroupLayout& layout = args.layout;
  const Kernels& kernels = kernels_of(execution);
  const Bands bands(*args.x, layout);
  const int64_t col_groups = layout.col_groups();
  std::vector<Ranges> parts(static_cast<size_t>(bands.count()), Ranges(0));
  std::atomic<bool> finite{true};
  execution.parallel_for(bands.count(), [&](int64_t i) {
    const Band band = bands[i];
    Ranges part(static_cast<size_t>(band.groups * col_groups));
    RowReader reader(kernels, *args.x, layout);
    bool good = true;
    for_each_row_group(layout, band, [&](int64_t first, int64_t rows, int64_t row_group) {
      for_each_run(reader, layout, first, rows, [&](const float* x, int64_t n, int64_t group) {
        const size_t g = static_cast<size_t>(row_group * col_groups + group);
        good = kernels.min_max(x, n, &part.min[g], &part.max[g]) && good;
      });
    });
    if (!good) finite = false;
    parts[static_cast<size_t>(i)] = std::move(part);
  });
  if (!finite) fail_non_finite(*args.x, first_non_finite(*args.x, 0, args.x->elements()), "x");
  Ranges all(static_cast<size_t>(layout.row_groups * col_groups));
  for (int64_t i = 0; i < bands.count(); ++i) {
    const Ranges& part = parts[static_cast<size_t>(i)];
    const size_t base = static_cast<size_t>(bands[i].first_group * col_groups);
    for (size_t g = 0; g < part.min.size(); ++g) {
      all.min[base + g] = std::min(all.min[base + g], part.min[g]);
      all.max[base + g] = std::max(all.max[base + g], part.max[g]);
    }
  }
  // which of -0 and 0 came first depends on the target: a range has 0
  std::transform(all.min.begin(), all.min.end(), args.min, [](float value) { return value + 0.0f; });
  std::transform(all.max.begin(), all.max.end(), args.max, [](float value) { return value + 0.0f; });
}

}  // namespace nvfp4cal::cpu
