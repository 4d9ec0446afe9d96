// GPTQ with block scales chosen while rounding: 64 rows a task, so nothing depends on the number of threads. docs/gptq.md.
#include <algorithm>
#include <vector>

#include "cpu/gptq_rows.h"
#include "cpu/ops.h"
#include "cpu/targets.h"
#include "num/gptq.h"

namespace nvfp4cal::cpu {

namespace {

const GptqMatrix& matrix_of(const GptqHessian* hessian) { return static_cast<const GptqMatrix&>(*hessian); }

int64_t rows_of(const TensorView& weights) { return weights.elements() / weights.last(); }

GptqObjectives run_stages(const GptqMatrix& hessian, GptqRows& rows, float global_scale, bool measured) {
  GptqObjectives result{};
  if (measured) result.nearest = rows.nearest(global_scale);
  rows.round(global_scale);
  if (measured) result.rounding = result.descent = result.neighbourhood = rows.rounded();
  if (hessian.effort < GptqEffort::kDefault) return result;
  rows.begin_descent();
  rows.descend();
  if (measured) result.descent = result.neighbourhood = rows.objective();
  if (hessian.effort < GptqEffort::kMax) return result;
  rows.search_neighbourhoods();
  if (measured) result.neighbourhood = rows.objective();
  return result;
}

}  // namespace

void gptq_prepare(const Execution& execution, const GptqPrepareArgs& args) {
  *args.out = std::make_unique<GptqMatrix>(execution, kernels_of(execution), args);
}

void gptq(const Execution& execution, const GptqArgs& args) {
  const GptqMatrix& hessian = matrix_of(args.hessian);
  const Kernels& kernels = kernels_of(execution);
  const int64_t rows = rows_of(*args.weights), chunks = (rows + kTile - 1) / kTile;
  const num::GptqUnits units = num::gptq_units(args.global_amax);
  std::vector<GptqObjectives> objectives(static_cast<size_t>(chunks));
  execution.parallel_for(chunks, [&](int64_t c) {
    const int64_t first = c * kTile, count = std::min(kTile, rows - first);
    FloatReader reader(kernels, *args.weights);
    GptqRows part(execution, hessian, kernels);
    part.load(reader, first, count, units.factor);
    objectives[static_cast<size_t>(c)] = run_stages(hessian, part, units.global_scale, args.objectives != nullptr);
    for (int64_t r = 0; r < count; ++r) {
      part.store(r, args.packed + (first + r) * hessian.cols / 2, args.scales + (first + r) * hessian.blocks());
    }
  });
  if (!args.objectives) return;
  GptqObjectives sum{};
  const double unit = hessian.mean / (units.factor * units.factor);
  for (const GptqObjectives& part : objectives) {  // in the order of the chunks
    sum.nearest += part.nearest * unit;
    sum.rounding += part.rounding * unit;
    sum.descent += part.descent * unit;
    sum.neighbourhood += part.neighbourhood * unit;
  }
  *args.objectives = sum;
}

void gptq_shift(const Execution& execution, const GptqShiftArgs& args) {
  const GptqMatrix& hessian = matrix_of(args.hessian);
  const Kernels& kernels = kernels_of(execution);
  const int64_t rows = rows_of(*args.weights), cols = hessian.cols;
  execution.parallel_for((rows + kTile - 1) / kTile, [&](int64_t c) {
    const int64_t first = c * kTile, count = std::min(kTile, rows - first);
    FloatReader reader(kernels, *args.weights);
    std::vector<float> lanes(static_cast<size_t>(hessian.padded * kTile)), sums(lanes.size());
    for (int64_t r = 0; r < count; ++r) {
      const float* const from = reader.read((first + r) * cols, cols);
      for (int64_t j = 0; j < cols; ++j) {
        lanes[static_cast<size_t>(j * kTile + r)] = sums[static_cast<size_t>(r * hessian.padded + j)] = from[hessian.column(j)];
      }
    }
    for (int64_t panel = 0; panel < hessian.padded / kTile; ++panel) {
      kernels.multiply_f32({lanes.data(), kTile, hessian.shift_row(panel, 0), kTile, hessian.padded, kTile, sums.data() + panel * kTile,
                            hessian.padded, false});
    }
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t j = 0; j < cols; ++j)
        args.out[(first + r) * cols + hessian.column(j)] = sums[static_cast<size_t>(r * hessian.padded + j)];
    }
  });
}

}  // namespace nvfp4cal::cpu
