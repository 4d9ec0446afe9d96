#include "api/barrier.h"

#include <cstring>

namespace nvfp4cal::api {

#define SAME(status, constant) static_assert(static_cast<int32_t>(status) == constant)
SAME(Status::kInternal, NVFP4CAL_ERROR_INTERNAL);
SAME(Status::kInvalidArgument, NVFP4CAL_ERROR_INVALID_ARGUMENT);
SAME(Status::kUnsupported, NVFP4CAL_ERROR_UNSUPPORTED);
SAME(Status::kWrongState, NVFP4CAL_ERROR_WRONG_STATE);
SAME(Status::kNoData, NVFP4CAL_ERROR_NO_DATA);
SAME(Status::kOutOfMemory, NVFP4CAL_ERROR_OUT_OF_MEMORY);
SAME(Status::kNotFinite, NVFP4CAL_ERROR_NOT_FINITE);
SAME(Status::kIo, NVFP4CAL_ERROR_IO);
SAME(Status::kCorrupt, NVFP4CAL_ERROR_CORRUPT);
SAME(Status::kCudaUnavailable, NVFP4CAL_ERROR_CUDA_UNAVAILABLE);
SAME(Status::kCuda, NVFP4CAL_ERROR_CUDA);
SAME(Status::kBackendVersion, NVFP4CAL_ERROR_BACKEND_VERSION);
SAME(Status::kCancelled, NVFP4CAL_ERROR_CANCELLED);
SAME(Status::kCallback, NVFP4CAL_ERROR_CALLBACK);
#undef SAME

void ErrorText::set(const char* message) noexcept {
  size_t n = strnlen(message, kTextSize - 1);
  while (n > 0 && message[n] != '\0' && (static_cast<unsigned char>(message[n]) & 0xC0) == 0x80) --n;  // not inside a UTF-8 character
  std::memcpy(text, message, n);
  text[n] = '\0';
}

ErrorText& thread_error() noexcept {
  thread_local ErrorText error;
  return error;
}

nvfp4cal_status keep_error(nvfp4cal_status status, const char* message, ErrorText* handle_error) noexcept {
  thread_error().set(message);
  if (handle_error) handle_error->set(message);
  return status;
}

void require(const void* pointer, const char* name) {
  if (!pointer) fail(Status::kInvalidArgument, "%s is NULL", name);
}

}  // namespace nvfp4cal::api
