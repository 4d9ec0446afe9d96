// The four-over-six choice [ModelOpt: the multipliers 1 and 1.5 on the amax of a block, with a normalization of 256].
#pragma once

#include <vector>

#include "core/tensor_view.h"

namespace nvfp4cal::checkpoint {

// The amax of each block of 16 of x (1-D, finite), or 1.5 times it, whichever leaves the smaller squared error; the amax itself on ties.
// global_amax > 0; buffer: for elements as float32; out [blocks].
void four_over_six_amaxes(const TensorView& x, float global_amax, std::vector<float>& buffer, float* out);

}  // namespace nvfp4cal::checkpoint
