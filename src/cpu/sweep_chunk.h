// The search on one chunk: what the sweep and the quantizer share.
#pragma once

#include <vector>

#include "core/ops.h"
#include "cpu/chunk.h"
#include "cpu/kernels.h"

namespace nvfp4cal::cpu {

// Throws kInvalidArgument naming the first weight that is not positive and finite.
void check_weights(const Execution& execution, const SweepArgs& args);

class ChunkSweeper {
 public:
  // args outlives the sweeper.
  ChunkSweeper(const SweepArgs& args, const Kernels& kernels);

  // Codes of the range's blocks, whose elements are x. scratch is the calling task's own. False if an element is not finite.
  bool sweep(const BlockRange& range, Span x, std::vector<float>& scratch, uint8_t* codes) const;

 private:
  const SweepArgs& args_;
  const Kernels& kernels_;
  std::vector<SweepPlan> plans_;       // one a slice
  std::vector<float> shared_weights_;  // normalized, if one row of weights serves all blocks
  std::vector<int16_t> weight_roots_;  // of these, for the integer search
};

}  // namespace nvfp4cal::cpu
