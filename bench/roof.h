// Time, and what memory allows: reading or copying the same buffer with the same threads.
#pragma once

#include <cstdint>
#include <functional>

namespace bench {

struct Time {
  double best, median;  // seconds
};

// Processor time in place of the wall clock's: for one thread on a machine that others use too.
void use_processor_time();

Time measure(int runs, const std::function<void()>& body);

// Bytes a second of a sum over n bytes, and of a copy (read and written).
double read_rate(const void* data, int64_t n, int threads, int runs);
double copy_rate(const void* data, void* to, int64_t n, int threads, int runs);

}  // namespace bench
