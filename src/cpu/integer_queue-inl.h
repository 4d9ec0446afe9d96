// Blocks that a filter of the integer search has not settled wait here for the next one. Included once per target.
#if defined(NVFP4CAL_CPU_INTEGER_QUEUE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NVFP4CAL_CPU_INTEGER_QUEUE_INL_H
#undef NVFP4CAL_CPU_INTEGER_QUEUE_INL_H
#else
#define NVFP4CAL_CPU_INTEGER_QUEUE_INL_H
#endif

#include "cpu/integer_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_INTEGER_SIMD

// Blocks between two looks at the queues, and in one run: a waiting block's number has sixteen bits.
constexpr int64_t kBlocksPerTile = 256;
constexpr int64_t kBlocksPerRun = 32768;

// Numbers of waiting blocks, in the low 16 bits; with the codes of two contenders above them.
struct Queue {
  // A block waits in one queue at a time: those of a tile and less than a group left over in each queue.
  uint32_t entries[kBlocksPerTile + 6 * kLanes];
  int64_t size = 0;

  // Compressed in a register and stored whole: compressing into memory is microcode on Zen 4.
  HWY_INLINE void push(MF lanes, VU values) {
    hn::StoreU(hn::Compress(values, hn::RebindMask(DU(), lanes)), DU(), entries + size);
    size += static_cast<int64_t>(hn::CountTrue(DF(), lanes));
  }
};

#endif  // NVFP4CAL_INTEGER_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
