// Version, build, status texts, last error.
#include "api/barrier.h"
#include "core/device.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION TEXT(NVFP4CAL_VERSION_MAJOR) "." TEXT(NVFP4CAL_VERSION_MINOR) "." TEXT(NVFP4CAL_VERSION_PATCH)

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char* nvfp4cal_version(void) { return VERSION; }

int32_t nvfp4cal_version_number(void) { return NVFP4CAL_VERSION_MAJOR * 10000 + NVFP4CAL_VERSION_MINOR * 100 + NVFP4CAL_VERSION_PATCH; }

int32_t nvfp4cal_abi_version(void) { return NVFP4CAL_ABI; }

const char* nvfp4cal_build_info(void) {
#if defined(__x86_64__)
  return "nvfp4cal " VERSION ", " COMPILER ", " NVFP4CAL_BUILD_TYPE ", x86-64: avx512 avx2 sse4 scalar";
#elif defined(__aarch64__)
  return "nvfp4cal " VERSION ", " COMPILER ", " NVFP4CAL_BUILD_TYPE ", aarch64: neon scalar";
#else
  return "nvfp4cal " VERSION ", " COMPILER ", " NVFP4CAL_BUILD_TYPE ", scalar";
#endif
}

const char* nvfp4cal_status_string(nvfp4cal_status status) {
  switch (status) {
    case NVFP4CAL_OK: return "ok";
    case NVFP4CAL_ERROR_INTERNAL: return "internal error";
    case NVFP4CAL_ERROR_INVALID_ARGUMENT: return "invalid argument";
    case NVFP4CAL_ERROR_UNSUPPORTED: return "unsupported dtype, layout or operation";
    case NVFP4CAL_ERROR_WRONG_STATE: return "wrong state";
    case NVFP4CAL_ERROR_NO_DATA: return "no data";
    case NVFP4CAL_ERROR_OUT_OF_MEMORY: return "out of memory";
    case NVFP4CAL_ERROR_NOT_FINITE: return "non-finite data";
    case NVFP4CAL_ERROR_IO: return "input/output error";
    case NVFP4CAL_ERROR_CORRUPT: return "corrupt or unknown file";
    case NVFP4CAL_ERROR_CUDA_UNAVAILABLE: return "CUDA unavailable";
    case NVFP4CAL_ERROR_CUDA: return "CUDA error";
    case NVFP4CAL_ERROR_BACKEND_VERSION: return "backend version mismatch";
    case NVFP4CAL_ERROR_CANCELLED: return "cancelled";
    case NVFP4CAL_ERROR_CALLBACK: return "callback failed";
    default: return "unknown status";
  }
}

nvfp4cal_status nvfp4cal_cuda_available(int32_t* out) {
  return nvfp4cal::api::barrier([&] {
    nvfp4cal::api::require(out, "out");
    *out = nvfp4cal::device_count();
  });
}

const char* nvfp4cal_last_error(void) { return nvfp4cal::api::thread_error().text; }
