// Time, and what memory allows: reading or copying the same buffer with the same threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace bench {

struct Time {
  double best, median;  // seconds
};

// Processor time in place of the wall clock's: for one thread on a machine that others use too.
void use_processor_time();

// All bodies in turn, `runs` times after a first turn that does not count: what a neighbour takes from the machine it takes from all of them.
std::vector<Time> measure(int runs, const std::vector<std::function<void()>>& bodies);

// A sum over n bytes, and a copy.
void read_all(const void* data, int64_t n, int threads);
void copy_all(const void* data, void* to, int64_t n, int threads);

}  // namespace bench
