#include "checkpoint/checksum.h"

#include <bit>
#include <cstring>

namespace nvfp4cal::checkpoint {

static_assert(std::endian::native == std::endian::little, "words are read in memory order");

namespace {

// A place's factor is (place + 1) * kStep, made odd: that adds 1 to those of odd places.
constexpr uint64_t kStep = 0x9E3779B97F4A7C15u;
static_assert(kStep % 2 == 1);

uint64_t factor(int64_t word) { return ((static_cast<uint64_t>(word) + 1) * kStep) | 1; }

// The sum over rows of kLanes words from place `first` on, with additions alone. A lane's `sums` are added up after each row: its word of row r is in
// `sums_of_sums` (rows - r) times.
constexpr int64_t kLanes = 4;
uint64_t checksum_rows(const char* bytes, int64_t rows, int64_t first) {
  uint64_t sums[kLanes] = {}, sums_of_sums[kLanes] = {};
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      uint64_t word;
      std::memcpy(&word, bytes + 8 * (row * kLanes + lane), 8);
      sums[lane] += word;
    }
    for (int lane = 0; lane < kLanes; ++lane) sums_of_sums[lane] += sums[lane];
  }
  uint64_t by_place = 0, odd = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    const uint64_t by_row = static_cast<uint64_t>(rows) * sums[lane] - sums_of_sums[lane];
    by_place += static_cast<uint64_t>(first + lane + 1) * sums[lane] + static_cast<uint64_t>(kLanes) * by_row;
    if ((first + lane) % 2 != 0) odd += sums[lane];
  }
  return kStep * by_place + odd;
}

}  // namespace

uint64_t checksum(const void* data, int64_t n, int64_t offset) {
  const char* bytes = static_cast<const char*>(data);
  uint64_t sum = 0;
  while (n > 0) {
    const int64_t skip = offset % 8, take = n < 8 - skip ? n : 8 - skip;
    if (skip == 0 && take == 8) {
      const int64_t words = n / 8, first = offset / 8, rows = words / kLanes;
      sum += checksum_rows(bytes, rows, first);
      for (int64_t i = rows * kLanes; i < words; ++i) {
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
