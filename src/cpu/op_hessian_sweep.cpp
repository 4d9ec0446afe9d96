// The Hessian-weighted search over a tensor: blocks of one column of blocks are gathered, since they share a Hessian.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/ops.h"
#include "cpu/targets.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int64_t kRowsPerTask = 64;  // at least, where x has them: whole groups of lanes

// Rows x columns of blocks that a task searches.
struct Task {
  int64_t slice, first_row, rows, first_column, columns;
};

// The cut depends on the shape alone.
class Tasks {
 public:
  explicit Tasks(const HessianSweepArgs& args) : columns_(args.count) {
    const SweepArgs& sweep = args.sweep;
    rows_ = sweep.x->elements() / sweep.block / sweep.slices / columns_;
    rows_per_task_ = std::max(kRowsPerTask, kChunkElements / sweep.block / columns_ / kRowsPerTask * kRowsPerTask);
    columns_per_task_ = std::max<int64_t>(1, kChunkElements / sweep.block / rows_per_task_);
    across_ = (columns_ + columns_per_task_ - 1) / columns_per_task_;
    down_ = (rows_ + rows_per_task_ - 1) / rows_per_task_;
    count_ = sweep.slices * across_ * down_;
  }
  int64_t count() const { return count_; }
  int64_t rows_per_slice() const { return rows_; }
  Task operator[](int64_t i) const {
    const int64_t row = i / across_ % down_ * rows_per_task_, column = i % across_ * columns_per_task_;
    return {i / across_ / down_, row, std::min(rows_per_task_, rows_ - row), column, std::min(columns_per_task_, columns_ - column)};
  }

 private:
  int64_t columns_, rows_, rows_per_task_, columns_per_task_, across_, down_, count_;
};

class HessianSweeper {
 public:
  HessianSweeper(const Execution& execution, const HessianSweepArgs& args)
      : args_(args), kernels_(kernels_of(execution)), matrices_(static_cast<size_t>(args.count)) {
    const SweepArgs& sweep = args.sweep;
    for (int64_t s = 0; s < sweep.slices; ++s) {
      // a zero slice has no search; its plan is never read
      HessianPlan plan(sweep.global_amax[s] > 0.0f ? sweep.global_amax[s] : 1.0f, sweep.block, sweep.normalization);
      if (sweep.has_window) {
        plan.sweep.set_window(sweep.window_lo, sweep.window_hi);
        plan.sweep.saturation = kHessianSaturation;
      }
      plans_.push_back(plan);
    }
    const int64_t size = int64_t{sweep.block} * sweep.block;
    execution.parallel_for(args.count,
                           [&](int64_t j) { prepare_hessian(args.hessian + j * size, sweep.block, matrices_[static_cast<size_t>(j)]); });
  }

  // False if an element is not finite.
  bool run(const Task& task, int64_t rows_per_slice, uint8_t* codes) const {
    const SweepArgs& sweep = args_.sweep;
    const int64_t first = (task.slice * rows_per_slice + task.first_row) * args_.count + task.first_column;
    std::vector<float> buffer;
    HessianRows rows{};
    const bool is_zero = !(sweep.global_amax[task.slice] > 0.0f);
    if (!read(task, first, is_zero, buffer, rows)) return false;
    if (is_zero) {
      for (int64_t r = 0; r < task.rows; ++r)
        std::memset(codes + first + r * args_.count, num::kE4m3One, static_cast<size_t>(task.columns));
      return true;
    }
    const auto search = args_.exhaustive ? kernels_.hessian_exhaustive : kernels_.hessian_sweep;
    std::vector<uint8_t> column_codes(static_cast<size_t>(task.rows));
    for (int64_t j = 0; j < task.columns; ++j, rows.data += sweep.block) {
      if (!search(plans_[static_cast<size_t>(task.slice)], matrices_[static_cast<size_t>(task.first_column + j)], rows,
                  column_codes.data()))
        return false;
      for (int64_t r = 0; r < task.rows; ++r) codes[first + r * args_.count + j] = column_codes[static_cast<size_t>(r)];
    }
    return true;
  }

 private:
  // The rows of a task's first column of blocks: where they lie if they are contiguous float32, else in the buffer. False if they are checked, which the search
  // does as well, and an element is not finite.
  bool read(const Task& task, int64_t first, bool check, std::vector<float>& buffer, HessianRows& rows) const {
    const TensorView& x = *args_.sweep.x;
    const int64_t block = args_.sweep.block, width = task.columns * block;
    rows = {static_cast<const float*>(x.data) + first * block, args_.count * block, task.rows};
    const bool in_place = x.contiguous && x.dtype == Dtype::kF32 && reinterpret_cast<uintptr_t>(x.data) % alignof(float) == 0;
    if (in_place && !check) return true;
    if (!in_place) {
      buffer.resize(static_cast<size_t>(task.rows * width));
      rows.data = buffer.data();
      rows.stride = width;
    }
    SpanReader reader(x);
    for (int64_t r = 0; r < task.rows; ++r) {
      const Span row = reader.read((first + r * args_.count) * block, width);
      if (check && kernels_.max_bits(row, width) >= num::kInfBits) return false;
      if (!in_place) kernels_.to_floats(row, width, buffer.data() + r * width);
    }
    return true;
  }

  const HessianSweepArgs& args_;
  const Kernels& kernels_;
  std::vector<HessianPlan> plans_;  // one a slice
  std::vector<HessianMatrix> matrices_;
};

}  // namespace

void hessian_sweep(const Execution& execution, const HessianSweepArgs& args) {
  const SweepArgs& sweep = args.sweep;
  const int64_t blocks = sweep.x->elements() / sweep.block;
  if (blocks == 0) return;
  const HessianSweeper sweeper(execution, args);
  const Tasks tasks(args);
  // Codes are kept back until all of x is known to be finite.
  const std::unique_ptr<uint8_t[]> codes(new uint8_t[static_cast<size_t>(blocks)]);
  std::atomic<bool> finite{true};
  execution.parallel_for(tasks.count(), [&](int64_t i) {
    if (!sweeper.run(tasks[i], tasks.rows_per_slice(), codes.get())) finite = false;
  });
  if (!finite) fail_non_finite(*sweep.x, first_non_finite(*sweep.x, 0, sweep.x->elements()), "x");
  std::memcpy(sweep.codes, codes.get(), static_cast<size_t>(blocks));
}

}  // namespace nvfp4cal::cpu
