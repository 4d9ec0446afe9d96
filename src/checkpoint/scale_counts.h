// Which block scales were chosen, counted: integers, so that the order of the pieces does not matter.
#pragma once

#include <cstdint>
#include <vector>

namespace nvfp4cal::checkpoint {

struct ScaleCounts {
  static constexpr int kCodes = 128;    // of E4M3 without a sign
  static constexpr int kOffsets = 256;  // chosen code - code of method max + 128
  int64_t codes[kCodes] = {};
  int64_t offsets[kOffsets] = {};

  // n blocks: what was chosen, and what method max gives them.
  void add(const uint8_t* chosen, const uint8_t* of_max, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      ++codes[chosen[i] & 0x7F];
      ++offsets[chosen[i] - of_max[i] + kOffsets / 2];
    }
  }
  void add(const ScaleCounts& other) {
    for (int i = 0; i < kCodes; ++i) codes[i] += other.codes[i];
    for (int i = 0; i < kOffsets; ++i) offsets[i] += other.offsets[i];
  }

  // All counts behind one another, as numbers of a journal (exact to 2^53).
  void append_to(std::vector<double>& out) const {
    for (const int64_t n : codes) out.push_back(static_cast<double>(n));
    for (const int64_t n : offsets) out.push_back(static_cast<double>(n));
  }
  static ScaleCounts read(const double* in) {
    ScaleCounts counts;
    for (int64_t& n : counts.codes) n = static_cast<int64_t>(*in++);
    for (int64_t& n : counts.offsets) n = static_cast<int64_t>(*in++);
    return counts;
  }
};

}  // namespace nvfp4cal::checkpoint
