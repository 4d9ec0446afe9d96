// How a pass cuts its work: pieces of tensors, batches of pieces, rounds of batches.
#pragma once

#include <cstddef>
#include <vector>

#include "checkpoint/tensor_pass.h"

namespace nvfp4cal::checkpoint {

inline Dtype dtype_of(const Source& source) {
  Dtype dtype = Dtype::kF32;
  quantizable_dtype(*source.stored->dtype, dtype);
  return dtype;
}

struct TensorPass::Batches {
  explicit Batches(const std::vector<Piece>& pieces);
  size_t count() const { return begins.size() - 1; }

  std::vector<size_t> begins;  // the first piece of each, and behind the last one the number of pieces
  size_t computed = 0;         // how many are no copies
};

// What is done side by side, between two looks at what comes next: a part of the batches that are computed and a part of the copies.
struct Round {
  Round(size_t all_computed, size_t all, size_t round, size_t rounds)
      : computed(all_computed * round / rounds),
        computed_end(all_computed * (round + 1) / rounds),
        copied(all_computed + (all - all_computed) * round / rounds),
        copied_end(all_computed + (all - all_computed) * (round + 1) / rounds) {}

  size_t size() const { return computed_end - computed + copied_end - copied; }
  // The k-th one: copies come at even distances.
  size_t batch(size_t k) const {
    const size_t before = (copied_end - copied) * k / size(), until = (copied_end - copied) * (k + 1) / size();
    return until > before ? copied + before : computed + k - before;
  }

  size_t computed, computed_end, copied, copied_end;
};

}  // namespace nvfp4cal::checkpoint
