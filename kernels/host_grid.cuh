// Runs a kernel's code (sweep_lanes.cuh) on the host: every thread block, and of each phase every thread, one after the other. Threads run in ascending order in one
// phase and in descending order in the next: code that relies on a barrier it does not have reads what is not yet there in one of them.
#pragma once

#include <cstdint>
#include <memory>

namespace nvfp4cal::cuda {

template <class Lane>
class HostWarp {
 public:
  explicit HostWarp(uint32_t index) : index_(index) {}
  uint32_t index() const { return index_; }

  template <class Body>
  void each(Body&& body) {
    for (int i = 0; i < 32; ++i) {
      const int lane = backwards_ ? 31 - i : i;
      body(lane, lanes_[lane]);
    }
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
  bool backwards_ = false;
  Lane lanes_[32] = {};
};

template <class Lane, int kThreadCount>
class HostCta {
 public:
  static constexpr int kThreads = kThreadCount;
  HostCta(uint32_t index, uint32_t count) : index_(index), count_(count) {}
  uint32_t index() const { return index_; }
  uint32_t count() const { return count_; }

  template <class Body>
  void each(Body&& body) {
    for (int i = 0; i < kThreads; ++i) body(backwards_ ? kThreads - 1 - i : i);
    backwards_ = !backwards_;
  }

  template <class Body>
  void each_warp(Body&& body) {
    for (uint32_t i = kThreads / 32; i-- > 0;) {
      HostWarp<Lane> warp(i);
      body(warp);
    }
  }

 private:
  uint32_t index_, count_;
  bool backwards_ = false;
};

}  // namespace nvfp4cal::cuda
