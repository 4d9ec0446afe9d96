// Vectors that begin at a line of the caches, as torch's tensors do. (numpy's large arrays begin 16 bytes after one.)
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace bench {

// Bytes from there to where they begin instead, less than a line. Set once, before the first vector.
inline size_t line_offset = 0;

template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(size_t n) {
    return reinterpret_cast<T*>(static_cast<char*>(::operator new(n * sizeof(T) + line_offset, kLine)) + line_offset);
  }
  void deallocate(T* data, size_t) { ::operator delete(reinterpret_cast<char*>(data) - line_offset, kLine); }
  bool operator==(const LineAllocator&) const { return true; }
};

template <class T>
using LineVector = std::vector<T, LineAllocator<T>>;

}  // namespace bench
