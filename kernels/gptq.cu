// GPTQ's steps on a stream: each a kernel or two, for all chunks at once.
#include "kernels/gptq.cuh"

#include <algorithm>
#include <cstdio>

#include "kernels/gptq_blocks.cuh"
#include "kernels/gptq_neighbourhood.cuh"
#include "kernels/gptq_product.cuh"
#include "kernels/ops.h"
#include "kernels/status.h"
#include "sweep_device.cuh"

namespace nvfp4cal::cuda {

namespace {

int64_t groups_of(const DeviceGptqArgs& args) { return ceil_div(args.cols, num::kGptqGroup); }

// How often changes are counted.
int64_t steps_of(const DeviceGptqArgs& args) {
  if (args.effort < GptqEffort::kDefault) return 0;
  return num::kGptqSweeps * groups_of(args) + args.most_groups;
}

// Parts of the workspace, one after the other.
class Layout {
 public:
  explicit Layout(void* workspace) : at_(static_cast<char*>(workspace)) {}
  template <class T>
  T* take(int64_t count) {
    T* const part = reinterpret_cast<T*>(at_ + size_);
    size_ += ceil_div(count * static_cast<int64_t>(sizeof(T)), 16) * 16;
    return part;
  }
  int64_t size() const { return size_; }

 private:
  char* at_;
  int64_t size_ = 0;
};

GptqRows rows_of(const DeviceGptqArgs& args, Layout& layout) {
  const int64_t rows = args.chunks * num::kGptqRows, elements = rows * args.padded;
  GptqRows made{};
  made.slices = args.slice;
  made.first = args.first;
  made.chunks = args.chunks;
  made.chunks_of_slice = ceil_div(args.rows, num::kGptqRows);
  made.rows = args.rows;
  made.cols = args.cols;
  made.padded = args.padded;
  made.weights = layout.take<float>(elements);
  made.errors = layout.take<float>(elements);
  made.moving = layout.take<float>(elements);
  made.changes = layout.take<float>(rows * num::kGptqGroup);
  made.codes = layout.take<uint8_t>(rows * made.blocks());
  made.list = layout.take<uint8_t>(rows * num::kGptqGroup);
  made.list_size = layout.take<uint8_t>(rows);
  made.changed = layout.take<uint32_t>(steps_of(args) * args.chunks);
  return made;
}

// Keeps the first error: what follows it is not enqueued.
class Stages {
 public:
  Stages(const DeviceGptqArgs& args, cudaStream_t stream)
      : args_(args), stream_(stream), layout_(args.workspace), rows_(rows_of(args, layout_)) {}
  cudaError_t error() const { return error_; }

  void load(bool scaled) { plain(GptqLoad{*args_.weights, rows_, scaled}, all_rows() * rows_.padded); }
  void unload(float* out) { plain(GptqUnload{rows_, out}, all_rows() * rows_.cols); }
  void store() { plain(GptqStore{rows_, args_.packed, args_.scales}, all_rows() * rows_.blocks()); }
  void shift() { product({GptqFactor::kShift, 0, rows_.padded, -1, 0, 0, nullptr}, rows_.weights, rows_.padded, false, false); }

  void nearest() {
    plain(GptqNearest{rows_}, all_rows() * rows_.blocks());
    product({GptqFactor::kFeedback, 0, rows_.cols, -1, 0, 0, nullptr}, rows_.errors, rows_.padded, true, false);
    objective(GptqTerm::kNearest, 0);
    load(true);  // the targets were in the way
  }

  void round() {
    for (int64_t begin = 0; begin < rows_.cols; begin += num::kGptqGroup) {
      const int64_t columns = std::min<int64_t>(num::kGptqGroup, rows_.cols - begin), next = ceil_div(begin + columns, kGptqPanel);
      job(GptqRoundGroup{{rows_, begin, columns}});
      product({GptqFactor::kFeedback, begin, columns, -1, 0, next, nullptr}, rows_.errors + begin, rows_.padded, false, true);
    }
  }

  void begin_descent() {
    product({GptqFactor::kMatrix, 0, rows_.cols, -1, 0, 0, nullptr}, rows_.errors, rows_.padded, true, false);
    const int64_t counters = steps_of(args_) * args_.chunks;
    if (error_ == cudaSuccess) error_ = cudaMemsetAsync(rows_.changed, 0, static_cast<size_t>(counters) * sizeof *rows_.changed, stream_);
  }

  void descend() {
    for (int64_t sweep = 0; sweep < num::kGptqSweeps; ++sweep) {
      for (int64_t begin = 0; begin < rows_.cols; begin += num::kGptqGroup) {
        const int64_t columns = std::min<int64_t>(num::kGptqGroup, rows_.cols - begin);
        uint32_t* const changed = rows_.changed + (sweep * groups_of(args_) + begin / num::kGptqGroup) * rows_.chunks;
        job(GptqDescendGroup{{rows_, begin, columns}, changed});
        spread({GptqFactor::kMatrix, begin, columns, -1, begin / kGptqPanel, ceil_div(begin + columns, kGptqPanel), changed});
      }
    }
  }

  void search_neighbourhoods() {
    for (int64_t group = 0; group < args_.most_groups; ++group) {
      uint32_t* const changed = rows_.changed + (num::kGptqSweeps * groups_of(args_) + group) * rows_.chunks;
      job(GptqSearchGroup{rows_, group, changed});
      spread({GptqFactor::kMatrix, 0, 0, static_cast<int>(group), 0, 0, changed});
    }
  }

  // which: of GptqObjectives
  void objective(GptqTerm term, int which) {
    if (!args_.objectives) return;
    enqueue(GptqObjective{rows_, term, args_.objectives + which, 4}, rows_.chunks);
  }

 private:
  int64_t all_rows() const { return rows_.chunks * num::kGptqRows; }

  template <class Kernel>
  void enqueue(const Kernel& kernel, int64_t blocks) {
    if (error_ == cudaSuccess) error_ = launch(kernel, blocks, stream_);
  }
  // A thread for each of n.
  template <class Kernel>
  void plain(const Kernel& kernel, int64_t n) {
    enqueue(kernel, ceil_div(n, Kernel::kThreads));
  }
  template <class Job>
  void job(const Job& job) {
    if (error_ == cudaSuccess) error_ = launch_job(job, rows_.chunks * Job::kParts, stream_);
  }

  int64_t tiles(const GptqTerms& terms) const { return rows_.chunks * (rows_.padded / kGptqPanel - (terms.skip_end - terms.skip)); }
  void product(const GptqTerms& terms, const float* left, int64_t left_stride, bool from_zero, bool subtract) {
    enqueue(GptqProduct{rows_, terms, left, left_stride, from_zero, subtract}, tiles(terms));
  }
  // moving += changes times the matrix, in the way that their number asks for.
  void spread(const GptqTerms& terms) {
    product(terms, rows_.changes, num::kGptqGroup, false, false);
    enqueue(GptqSpreadFew{rows_, terms}, tiles(terms));
  }

  const DeviceGptqArgs& args_;
  cudaStream_t stream_;
  Layout layout_;
  GptqRows rows_;
  cudaError_t error_ = cudaSuccess;
};

cudaError_t run_stages(const DeviceGptqArgs& args, cudaStream_t stream) {
  Stages stages(args, stream);
  stages.load(true);
  if (args.objectives) stages.nearest();
  stages.round();
  stages.objective(GptqTerm::kRounded, 1);
  if (args.effort >= GptqEffort::kDefault) {
    stages.begin_descent();
    stages.descend();
    stages.objective(GptqTerm::kGradient, 2);
  }
  if (args.effort >= GptqEffort::kMax) {
    stages.search_neighbourhoods();
    stages.objective(GptqTerm::kGradient, 3);
  }
  stages.store();
  return stages.error();
}

cudaError_t run_shift(const DeviceGptqShiftArgs& args, cudaStream_t stream) {
  Stages stages(args.gptq, stream);
  stages.load(false);
  stages.shift();
  stages.unload(args.out);
  return stages.error();
}

}  // namespace

int64_t gptq_workspace(const DeviceGptqArgs& args) {
  Layout layout(nullptr);
  rows_of(args, layout);
  return layout.size();
}

Status gptq_shift(const DeviceQueue& queue, const DeviceGptqShiftArgs& args, char* message) {
  return on_device(queue, "weights for a changed input", message, [&] { return run_shift(args, queue.stream); });
}

Status gptq(const DeviceQueue& queue, const DeviceGptqArgs& args, char* message) {
  if (reinterpret_cast<uintptr_t>(args.packed) % 4 != 0) {  // what GptqStore writes at a time
    std::snprintf(message, kMessageSize, "packed.data is %p, not aligned to 4 bytes as kernels write it", static_cast<void*>(args.packed));
    return Status::kUnsupported;
  }
  return on_device(queue, "GPTQ", message, [&] { return run_stages(args, queue.stream); });
}

}  // namespace nvfp4cal::cuda
