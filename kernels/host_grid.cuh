// Runs a kernel's code (sweep_lanes.cuh) on the host: every thread block, and of each phase every thread, one after the other. Threads run in ascending order in one
// phase and in descending order in the next: code that relies on a barrier it does not have reads what is not yet there in one of them.
#pragma once

#include <cstdint>

#include "host_threads.cuh"

namespace nvfp4cal::cuda {

template <class Lane>
class HostWarp {
 public:
  HostWarp(uint32_t index, HostThreads& threads, bool backwards) : index_(index), threads_(threads), backwards_(backwards) {}
  uint32_t index() const { return index_; }

  template <class Body>
  void each(Body&& body) {
    const int first = static_cast<int>(index_) * 32;
    threads_.each(first, 32, backwards_, [&](int64_t thread) {
      const int lane = static_cast<int>(thread) - first;
      body(lane, lanes_[lane]);
    });
    backwards_ = !backwards_;
  }

  // Bit i: pred of lane i.
  template <class Pred>
  uint32_t ballot(Pred&& pred) {
    uint32_t bits = 0;
    for (int lane = 0; lane < 32; ++lane) bits |= static_cast<uint32_t>(pred(lanes_[lane]) ? 1 : 0) << lane;
    return bits;
  }

 private:
  uint32_t index_;
  HostThreads& threads_;
  bool backwards_;
  Lane lanes_[32] = {};
};

template <class Lane, int kThreadCount>
class HostCta {
 public:
  static constexpr int kThreads = kThreadCount;
  HostCta(uint32_t index, uint32_t count, bool backwards = false)
      : index_(index), count_(count), backwards_(backwards), threads_(HostThreads::of(index)) {}
  uint32_t index() const { return index_; }
  uint32_t count() const { return count_; }

  template <class Body>
  void each(Body&& body) {
    threads_.each(0, kThreads, backwards_, [&](int64_t thread) { body(static_cast<int>(thread)); });
    backwards_ = !backwards_;
  }

  template <class Body>
  void each_warp(Body&& body) {
    constexpr uint32_t kWarps = kThreads / 32;
    const auto run_warp = [&](int64_t index) {
      HostWarp<Lane> warp(static_cast<uint32_t>(index), threads_, backwards_);
      body(warp);
    };
    for (uint32_t i = 0; i < kWarps; ++i) {
      const uint32_t index = backwards_ ? i : kWarps - 1 - i;
      threads_.warps[index].run(index, run_warp);
    }
    for (uint32_t i = 0; i < kWarps; ++i) threads_.warps[i].join();
  }

 private:
  uint32_t index_, count_;
  bool backwards_;
  HostThreads& threads_;
};

}  // namespace nvfp4cal::cuda
