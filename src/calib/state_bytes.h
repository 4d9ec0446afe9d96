// Bytes of exported calibrator states: magic, type, version, payload, checksum. Little-endian, the same on every machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace nvfp4cal::calib {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "states are written in memory order");

class StateWriter {
 public:
  // type: four letters; version is raised when the payload changes.
  StateWriter(const char* type, uint32_t version);

  template <class T>
  void put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    put_bytes(&value, sizeof value);
  }
  template <class T>
  void put_array(const std::vector<T>& values) {
    put(static_cast<uint64_t>(values.size()));
    reserve(values.size() * sizeof(T));
    put_bytes(values.data(), values.size() * sizeof(T));
  }

  // Appends the checksum.
  std::vector<uint8_t> finish();

 private:
  // Makes room for n bytes more and the checksum, so that a large array is not followed by a copy of all bytes twice as large.
  void reserve(size_t n);
  void put_bytes(const void* data, size_t n);
  std::vector<uint8_t> bytes_;
};

// Throws kCorrupt for anything that StateWriter of the same type, at this or an older version, did not write.
class StateReader {
 public:
  StateReader(const char* type, uint32_t newest_version, const uint8_t* bytes, size_t n);
  // The first bytes of a state, whose checksum is out of reach: for a look at its fields.
  static StateReader of_head(const char* type, uint32_t newest_version, const uint8_t* bytes, size_t n);
  uint32_t version() const { return version_; }

  template <class T>
  T get() {
    T value;
    get_bytes(&value, sizeof value);
    return value;
  }
  // A byte that is 0 or 1.
  bool get_flag();
  template <class T>
  std::vector<T> get_array() {
    const uint64_t n = get<uint64_t>();
    if (n > remaining() / sizeof(T))
      fail(Status::kCorrupt, "the state ends inside an array of %llu values", static_cast<unsigned long long>(n));
    std::vector<T> values(static_cast<size_t>(n));
    get_bytes(values.data(), values.size() * sizeof(T));
    return values;
  }

  // Throws if bytes are left over.
  void finish() const;

 private:
  StateReader(const uint8_t* bytes, const uint8_t* end) : next_(bytes), end_(end) {}
  void read_type(const char* type, uint32_t newest_version);

  size_t remaining() const { return static_cast<size_t>(end_ - next_); }
  void get_bytes(void* out, size_t n);
  const uint8_t* next_;
  const uint8_t* end_;
  uint32_t version_ = 0;
};

// Runs body, which reads a state; options that a setter refuses were not written by a calibrator: kCorrupt.
template <class Body>
void reading_state(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.status() == Status::kCorrupt) throw;
    fail(Status::kCorrupt, "the state does not fit: %s", error.what());
  }
}

// Throws kCorrupt unless an array of this shape has `count` values; without data both are empty.
void check_state_shape(const std::vector<int64_t>& shape, size_t count, bool has_data);

std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace nvfp4cal::calib
