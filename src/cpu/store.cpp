#include "cpu/store.h"

#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace nvfp4cal::cpu {

namespace {

// More than a core's share of most last-level caches: whoever reads the output next would not find its beginning there.
constexpr int64_t kStreamedBytes = int64_t{32} << 20;

}  // namespace

DecodedSpan decoded_span(const TensorView& out, int64_t begin, int64_t n, std::vector<float>& buffer) {
  if (out.dtype == Dtype::kF64) {
    buffer.resize(static_cast<size_t>(n));
    return {Dtype::kF32, buffer.data()};
  }
  const auto size = static_cast<int64_t>(dtype_size(out.dtype));
  char* const data = static_cast<char*>(out.data) + begin * size;
  const auto place = reinterpret_cast<uintptr_t>(data);
  const bool past_caches = out.elements() * size >= kStreamedBytes && place % 16 == 0;
  return {out.dtype, data, !past_caches ? Streaming::kNone : place % 64 == 0 ? Streaming::kLines : Streaming::kSixteens};
}

void store_doubles(const TensorView& out, int64_t begin, int64_t n, const std::vector<float>& buffer) {
  if (out.dtype != Dtype::kF64) return;
  char* const to = static_cast<char*>(out.data) + begin * 8;
  for (int64_t i = 0; i < n; ++i) {
    const double value = static_cast<double>(buffer[static_cast<size_t>(i)]);
    std::memcpy(to + i * 8, &value, 8);
  }
}

void finish_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace nvfp4cal::cpu
