// Memory that lies in its lines of 64 bytes as a file's bytes lie in theirs. The system copies fastest between such places, and three times as slowly as
// otherwise to a place 1 to 15 bytes further on in its line than the source's (`rep movsb` of AMD Zen 4; docs/performance.md, "A whole checkpoint").
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nvfp4cal::checkpoint {

constexpr int64_t kLine = 64;

// The first address from `memory` on that lies in its line as `place` in its own, less than a line away. In a row of pieces that follow each other in a
// file and in memory, only the first one moves.
template <class Byte>
Byte* placed_like(Byte* memory, int64_t place) {
  return memory + ((place - static_cast<int64_t>(reinterpret_cast<uintptr_t>(memory))) & (kLine - 1));
}

// Where memory for elements at `place` of a file should lie: addresses of elements are multiples of 8 bytes, and 1 to 7 bytes back cost nothing.
inline int64_t place_for_elements(int64_t place) { return place & ~int64_t{7}; }

// Where memory for bytes that are copied from place `from` of a file to place `to` of another should lie.
inline int64_t place_for_copy(int64_t from, int64_t to) {
  const int64_t further_on = (to - from) & (kLine - 1);
  return further_on >= 1 && further_on <= 15 ? from + kLine / 2 : to;
}

// Room for pieces, which are taken one after the other. It never shrinks: what a vector grows by again it fills with zeros again.
template <class Byte>
class PlacedMemory {
 public:
  // Forgets all pieces, and makes room for so many with so many bytes together.
  void begin(int64_t bytes, size_t pieces) {
    const size_t room = static_cast<size_t>(bytes) + pieces * static_cast<size_t>(kLine);
    memory_.resize(std::max(memory_.size(), room));
    next_ = memory_.data();
  }
  Byte* take(int64_t bytes, int64_t place) {
    Byte* const piece = placed_like(next_, place);
    next_ = piece + bytes;
    return piece;
  }

 private:
  std::vector<Byte> memory_;
  Byte* next_ = nullptr;
};

}  // namespace nvfp4cal::checkpoint
