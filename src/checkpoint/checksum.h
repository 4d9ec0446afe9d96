// A checksum of a file that does not depend on the order or the sizes of the pieces it is added up from.
#pragma once

#include <cstdint>

namespace nvfp4cal::checkpoint {

// The part of n bytes that lie `offset` bytes from the beginning of the file: sum over the file's 8-byte words of word * (an odd factor of
// its place), modulo 2^64. Parts add up. A single word that differs always shows.
uint64_t checksum(const void* data, int64_t n, int64_t offset);

}  // namespace nvfp4cal::checkpoint
