// The two passes over a tensor, a block of bytes at a time: memory does not depend on the size of the tensor.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/model_files.h"
#include "checkpoint/monitor.h"
#include "checkpoint/options.h"
#include "core/ops.h"

namespace nvfp4cal::checkpoint {

struct SquaredError {
  double error = 0.0;  // sum of (w - decoded)^2
  double total = 0.0;  // sum of w^2
};

// Where the parts of a quantized tensor go.
struct QuantizeTarget {
  File& file;
  int64_t codes_at, scales_at;  // bytes from the beginning of the file
};

class TensorPass {
 public:
  TensorPass(const Execution& execution, const Options& options, Monitor& monitor);

  // The largest magnitude. kNotFinite names tensor and index.
  float amax(const Shard& shard, const TensorEntry& tensor);

  // Writes codes and scales for a global amax; with 0 (see negligible) all codes are 0 and all scales 1.0.
  SquaredError quantize(const Shard& shard, const TensorEntry& tensor, float global_amax, const QuantizeTarget& target);

  // Copies the bytes of the tensor.
  void copy(const Shard& shard, const TensorEntry& tensor, File& target, int64_t at);

 private:
  // Reads the tensor block by block: use(data, first byte, bytes).
  template <class Use>
  void for_each_block(const Shard& shard, const TensorEntry& tensor, Use&& use);

  // Amaxes of the blocks, for kFourOverSix.
  void find_amaxes(const TensorView& x, float global_amax);

  const Execution& execution_;
  const Options& options_;
  Monitor& monitor_;
  std::vector<char> buffer_;
  std::vector<uint8_t> codes_, scales_;
  std::vector<float> amaxes_;  // of blocks
};

// True for amaxes too small for a global scale (below 3.2e-35): it would be subnormal, which many kernels flush to zero.
bool negligible(float global_amax, float normalization);

}  // namespace nvfp4cal::checkpoint
