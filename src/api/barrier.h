// The one way into the library: nothing is thrown out of it, the floating-point environment is ours inside, and the last error's text is
// kept per thread and, where there is a handle, in the handle.
#pragma once

#include <cstdint>
#include <new>

#include "core/error.h"
#include "core/float_env.h"
#include "nvfp4cal.h"

namespace nvfp4cal::api {

// Room for a path of the greatest length and what is said of it.
inline constexpr size_t kTextSize = 4096 + 512;

// A fixed buffer: keeping a message cannot fail.
struct ErrorText {
  char text[kTextSize] = "";
  void set(const char* message) noexcept;
};

ErrorText& thread_error() noexcept;

nvfp4cal_status keep_error(nvfp4cal_status status, const char* message, ErrorText* handle_error) noexcept;

template <class Body>
nvfp4cal_status barrier(ErrorText* handle_error, Body&& body) noexcept {
  const FloatEnvironment environment;
  try {
    body();
    return NVFP4CAL_OK;
  } catch (const Error& error) {
    return keep_error(static_cast<nvfp4cal_status>(error.status()), error.what(), handle_error);
  } catch (const std::bad_alloc&) {
    return keep_error(NVFP4CAL_ERROR_OUT_OF_MEMORY, "out of memory", handle_error);
  } catch (const std::exception& error) {
    return keep_error(NVFP4CAL_ERROR_INTERNAL, error.what(), handle_error);
  } catch (...) {
    return keep_error(NVFP4CAL_ERROR_INTERNAL, "an unknown exception", handle_error);
  }
}

template <class Body>
nvfp4cal_status barrier(Body&& body) noexcept {
  return barrier(nullptr, static_cast<Body&&>(body));
}

// The same for calls with a handle, which must not be NULL. The text is the handle's even through a const pointer.
template <class Handle, class Body>
nvfp4cal_status handle_barrier(Handle* handle, Body&& body) noexcept {
  if (!handle) return keep_error(NVFP4CAL_ERROR_INVALID_ARGUMENT, "handle is NULL", nullptr);
  return barrier(&handle->error, static_cast<Body&&>(body));
}

// "name is NULL" if it is.
void require(const void* pointer, const char* name);

// new Handle into *out, NULL on failure.
template <class Handle>
nvfp4cal_status create(Handle** out) noexcept {
  return barrier([&] {
    require(out, "out");
    *out = nullptr;
    *out = new Handle();
  });
}

}  // namespace nvfp4cal::api
