// Copies spread over the portions of a shard.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/tensor_pass.h"

namespace nvfp4cal::checkpoint {

// Cuts the copies, in their order, into one list for each portion: as large a part of all bytes as the portion has of `quantized`, bytes by portion (of which
// there is at least one). Tensors are cut at multiples of 1 MiB; the last portion gets what is left.
std::vector<std::vector<CopyTask>> copy_shares(std::vector<CopyTask> copies, const std::vector<int64_t>& quantized);

}  // namespace nvfp4cal::checkpoint
