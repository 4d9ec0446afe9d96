// Bin edges of a histogram over log2, exact: the same float32 numbers on every machine, whatever its C library.
#pragma once

#include <cstdint>
#include <vector>

namespace nvfp4cal::calib {

// The bits of the smallest positive float32 whose bin is k or more, for k = 1 .. bins - 1; num::kInfBits where no finite one is.
// Bin of a: floor((log2 a - lo) / (hi - lo) * bins) in real arithmetic, clamped. |lo|, |hi| <= 16384, hi - lo >= 2^-20, bins <= 65536.
std::vector<uint32_t> log2_edges(double lo, double hi, int bins);

}  // namespace nvfp4cal::calib
