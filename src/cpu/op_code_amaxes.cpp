// From scale codes to what calibrators return: the amax that each code stands for.
#include <algorithm>

#include "cpu/chunk.h"
#include "cpu/ops.h"
#include "cpu/targets.h"
#include "num/scale.h"

namespace nvfp4cal::cpu {

void code_amaxes(const Execution& execution, const CodeAmaxArgs& args) {
  const Kernels& kernels = kernels_of(execution);
  const BlockChunks chunks(args.blocks, args.slices, 1);  // a code is an element here
  execution.parallel_for(chunks.count(), [&](int64_t c) {
    const BlockRange range = chunks[c];
    alignas(64) float amax[128];  // the last one is no code's
    for (int code = 0; code < 128; ++code)
      amax[code] = num::block_amax(std::min(code, num::kE4m3Count), args.global_amax[range.slice], args.normalization);
    kernels.look_up(args.codes + range.first, range.count, amax, static_cast<char*>(args.out) + range.first * 4);
  });
}

}  // namespace nvfp4cal::cpu
