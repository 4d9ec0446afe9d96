// How the blocks of a tensor are divided among thread blocks and warps. The code of a search is written in phases: each(f) is f for all threads
// of a thread block (or lanes of a warp), then a barrier. A device runs a phase's threads at the same time; tests run them one after the other,
// in any order, through the same code.
#pragma once

#include "sweep_problem.cuh"

namespace nvfp4cal::cuda {

inline constexpr int kWarp = 32;

// A unit is 32 blocks, a lane each, of a segment: neighbours of a slice, or rows of a column of blocks. A segment's last unit may be short.
// Units are counted in 32 bits: kMaxUnits of them are 2^40 elements.
inline constexpr int64_t kMaxUnits = int64_t{1} << 31;
NVFP4CAL_HD constexpr int64_t units_of(int64_t blocks) { return (blocks + kWarp - 1) / kWarp; }
NVFP4CAL_HD inline int64_t units_per_slice(const SweepProblem& p) { return units_of(p.blocks_per_slice); }

struct Segments {
  int64_t count, blocks;  // blocks of each
  NVFP4CAL_HD int64_t units() const { return units_of(blocks); }
};

// The units of a segment that a warp goes through: first, first + step, .. below end.
struct Units {
  uint32_t segment, first, step, end;
};

// A thread block takes a range of units, and goes through it segment by segment: Search::build(..) fills shared memory for a segment, then each warp
// has every so many units. Cta::kThreads threads.
template <class Search, class Cta, class Problem>
NVFP4CAL_HD void sweep_cta(Cta& cta, const Problem& p, typename Search::Shared& shared) {
  const Segments segments = Search::segments(p);
  const uint32_t each = static_cast<uint32_t>(segments.units()), units = each * static_cast<uint32_t>(segments.count);
  const uint32_t share = units / cta.count(), rest = units % cta.count();  // the first `rest` thread blocks have one more
  uint32_t unit = cta.index() * share + (cta.index() < rest ? cta.index() : rest);
  const uint32_t last = unit + share + (cta.index() < rest ? 1 : 0);
  for (uint32_t segment = unit / each; unit < last; ++segment) {
    const uint32_t begin = segment * each;
    const uint32_t end = begin + each < last ? begin + each : last;
    Search::build(cta, p, segment, shared);
    cta.each_warp([&](auto& warp) {
      Search::run(warp, p, shared, Units{segment, unit - begin + warp.index(), Cta::kThreads / kWarp, end - begin});
    });
    unit = end;
  }
}

// A search that needs nothing from its neighbours: Find, one block a lane.
template <class Find>
struct LaneSearch {
  using Shared = typename Find::Shared;
  struct Lane {};

  static NVFP4CAL_HD Segments segments(const SweepProblem& p) { return {p.slices, p.blocks_per_slice}; }

  template <class Cta>
  static NVFP4CAL_HD void build(Cta& cta, const SweepProblem& p, int64_t slice, Shared& shared) {
    cta.each([&](int thread) { Find::build(p, slice, thread, Cta::kThreads, shared); });
  }

  template <class Warp>
  static NVFP4CAL_HD void run(Warp& warp, const SweepProblem& p, const Shared& shared, const Units& units) {
    for (uint32_t unit = units.first; unit < units.end; unit += units.step) {
      warp.each([&](int lane, Lane&) {
        const int64_t block = int64_t{unit} * kWarp + lane;
        if (block < p.blocks_per_slice) Find::run(p, shared, units.segment * p.blocks_per_slice + block);
      });
    }
  }
};

}  // namespace nvfp4cal::cuda
