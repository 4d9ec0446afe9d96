// The one exception of the library: a status of nvfp4cal.h and a one-line, impersonal message that names the value.
// It never crosses the C ABI: api/barrier.h turns it into a status.
#pragma once

#include <cstdint>
#include <exception>
#include <string>

namespace nvfp4cal {

// The values of nvfp4cal.h; src/api checks that they are equal.
enum class Status : int32_t {
  kOk = 0,
  kInternal = -1,
  kInvalidArgument = -2,
  kUnsupported = -3,
  kWrongState = -4,
  kNoData = -5,
  kOutOfMemory = -6,
  kNotFinite = -7,
  kIo = -8,
  kCorrupt = -9,
  kCudaUnavailable = -10,
  kCuda = -11,
  kBackendVersion = -12,
  kCancelled = -13,
  kCallback = -14,
};

class Error : public std::exception {
 public:
  Error(Status status, std::string message) : status_(status), message_(std::move(message)) {}
  Status status() const noexcept { return status_; }
  const std::string& message() const noexcept { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Status status_;
  std::string message_;
};

// printf-style; the text is one line.
[[noreturn]] void fail(Status status, const char* format, ...) __attribute__((format(printf, 2, 3)));

// For %lld, which int64_t is not everywhere.
inline long long ll(int64_t value) { return static_cast<long long>(value); }

}  // namespace nvfp4cal
