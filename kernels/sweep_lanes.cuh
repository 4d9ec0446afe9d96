// How the blocks of a tensor are divided among thread blocks and warps. The code of a search is written in phases: each(f) is f for all threads
// of a thread block (or lanes of a warp), then a barrier. A device runs a phase's threads at the same time; tests run them one after the other,
// in any order, through the same code.
#pragma once

#include "sweep_problem.cuh"

namespace nvfp4cal::cuda {

inline constexpr int kWarp = 32;

NVFP4CAL_HD inline int64_t units_per_slice(const SweepProblem& p) { return (p.blocks_per_slice + kWarp - 1) / kWarp; }

// Units are 32 neighbouring blocks of a slice, its last one may be short. A thread block takes a range of units, and goes through it slice by
// slice: Search::build(..) fills shared memory for a slice, then each warp takes every so many units. Cta::kThreads threads.
template <class Search, class Cta>
NVFP4CAL_HD void sweep_cta(Cta& cta, const SweepProblem& p, typename Search::Shared& shared) {
  const int64_t per_slice = units_per_slice(p), units = per_slice * p.slices;
  const int64_t last = units * (cta.index() + 1) / cta.count();
  int64_t unit = units * cta.index() / cta.count();
  while (unit < last) {
    const int64_t slice = unit / per_slice, slice_end = (slice + 1) * per_slice;
    const int64_t end = slice_end < last ? slice_end : last;
    Search::build(cta, p, slice, shared);
    cta.each_warp([&](auto& warp) {
      typename Search::Pending pending = {};
      for (int64_t u = unit + warp.index(); u < end; u += Cta::kThreads / kWarp) {
        Search::run(warp, p, shared, slice, (u - slice * per_slice) * kWarp, pending);
      }
      Search::finish(warp, p, shared, pending);
    });
    unit = end;
  }
}

// A search that needs nothing from its neighbours: Find, one block a lane.
template <class Find>
struct LaneSearch {
  using Shared = typename Find::Shared;
  struct Lane {};
  struct Pending {};

  template <class Cta>
  static NVFP4CAL_HD void build(Cta& cta, const SweepProblem& p, int64_t slice, Shared& shared) {
    cta.each([&](int thread) { Find::build(p, slice, thread, Cta::kThreads, shared); });
  }

  template <class Warp>
  static NVFP4CAL_HD void run(Warp& warp, const SweepProblem& p, const Shared& shared, int64_t slice, int64_t first, Pending&) {
    warp.each([&](int lane, Lane&) {
      if (first + lane < p.blocks_per_slice) Find::run(p, shared, slice * p.blocks_per_slice + first + lane);
    });
  }

  template <class Warp>
  static NVFP4CAL_HD void finish(Warp&, const SweepProblem&, const Shared&, Pending&) {}
};

}  // namespace nvfp4cal::cuda
