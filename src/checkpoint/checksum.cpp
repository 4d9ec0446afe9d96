#include "checkpoint/checksum.h"

#include <bit>
#include <cstring>

namespace nvfp4cal::checkpoint {

static_assert(std::endian::native == std::endian::little, "words are read in memory order");

uint64_t checksum(const void* data, int64_t n, int64_t offset) {
  constexpr uint64_t kStep = 0x9E3779B97F4A7C15u, kOdd = 1;
  const auto factor = [](int64_t word) { return ((static_cast<uint64_t>(word) + 1) * kStep) | kOdd; };
  const char* bytes = static_cast<const char*>(data);
  uint64_t sum = 0;
  while (n > 0) {
    const int64_t skip = offset % 8, take = n < 8 - skip ? n : 8 - skip;
    if (skip == 0 && take == 8) {
      int64_t words = n / 8, first = offset / 8;
      for (int64_t i = 0; i < words; ++i) {
        uint64_t word;
        std::memcpy(&word, bytes + 8 * i, 8);
        sum += word * factor(first + i);
      }
      bytes += 8 * words;
      offset += 8 * words;
      n -= 8 * words;
      continue;
    }
    uint64_t word = 0;
    std::memcpy(reinterpret_cast<char*>(&word) + skip, bytes, static_cast<size_t>(take));
    sum += word * factor(offset / 8);
    bytes += take;
    offset += take;
    n -= take;
  }
  return sum;
}

}  // namespace nvfp4cal::checkpoint
