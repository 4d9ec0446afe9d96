/* The library as a C program sees it: layouts, a round trip, the shape query, error texts, threads. */
#include <nvfp4cal.h>
#include <pthread.h>
#include <string.h>

#include "check.h"
#include "views.h"

static float decoded[ROWS * COLS];

/* Compiled callers depend on these numbers (64-bit machines). */
static void layouts(void) {
  OFFSET_IS(nvfp4cal_tensor, struct_size, 0);
  OFFSET_IS(nvfp4cal_tensor, flags, 4);
  OFFSET_IS(nvfp4cal_tensor, data, 8);
  OFFSET_IS(nvfp4cal_tensor, dtype, 16);
  OFFSET_IS(nvfp4cal_tensor, device_type, 20);
  OFFSET_IS(nvfp4cal_tensor, device_id, 24);
  OFFSET_IS(nvfp4cal_tensor, ndim, 28);
  OFFSET_IS(nvfp4cal_tensor, shape, 32);
  OFFSET_IS(nvfp4cal_tensor, strides, 96);
  CHECK(sizeof(nvfp4cal_tensor) == 160);
  OFFSET_IS(nvfp4cal_options, struct_size, 0);
  OFFSET_IS(nvfp4cal_options, flags, 4);
  OFFSET_IS(nvfp4cal_options, method, 8);
  OFFSET_IS(nvfp4cal_options, block_size, 12);
  OFFSET_IS(nvfp4cal_options, normalization, 16);
  OFFSET_IS(nvfp4cal_options, code_lo, 20);
  OFFSET_IS(nvfp4cal_options, code_hi, 24);
  OFFSET_IS(nvfp4cal_options, scale_layout, 28);
  OFFSET_IS(nvfp4cal_options, weights, 32);
  CHECK(sizeof(nvfp4cal_options) == 40);
  CHECK(sizeof(nvfp4cal_status) == 4);
}

static void constants(void) {
  CHECK(NVFP4CAL_OK == 0);
  CHECK(NVFP4CAL_ERROR_INTERNAL == -1 && NVFP4CAL_ERROR_INVALID_ARGUMENT == -2 && NVFP4CAL_ERROR_UNSUPPORTED == -3);
  CHECK(NVFP4CAL_ERROR_WRONG_STATE == -4 && NVFP4CAL_ERROR_NO_DATA == -5 && NVFP4CAL_ERROR_OUT_OF_MEMORY == -6);
  CHECK(NVFP4CAL_ERROR_NOT_FINITE == -7 && NVFP4CAL_ERROR_IO == -8 && NVFP4CAL_ERROR_CORRUPT == -9);
  CHECK(NVFP4CAL_ERROR_CUDA_UNAVAILABLE == -10 && NVFP4CAL_ERROR_CUDA == -11 && NVFP4CAL_ERROR_BACKEND_VERSION == -12);
  CHECK(NVFP4CAL_ERROR_CANCELLED == -13 && NVFP4CAL_ERROR_CALLBACK == -14);
  /* DLPack: code | bits << 8 | lanes << 16 */
  CHECK(NVFP4CAL_DTYPE_F32 == (2 | 32 << 8 | 1 << 16) && NVFP4CAL_DTYPE_F64 == (2 | 64 << 8 | 1 << 16));
  CHECK(NVFP4CAL_DTYPE_F16 == (2 | 16 << 8 | 1 << 16) && NVFP4CAL_DTYPE_BF16 == (4 | 16 << 8 | 1 << 16));
  CHECK(NVFP4CAL_DTYPE_I8 == (0 | 8 << 8 | 1 << 16) && NVFP4CAL_DTYPE_U8 == (1 | 8 << 8 | 1 << 16));
  CHECK(NVFP4CAL_DTYPE_E4M3 == (10 | 8 << 8 | 1 << 16));
}

static void versions(void) {
  char text[32];
  sprintf(text, "%d.%d.%d", NVFP4CAL_VERSION_MAJOR, NVFP4CAL_VERSION_MINOR, NVFP4CAL_VERSION_PATCH);
  CHECK(strcmp(nvfp4cal_version(), text) == 0);
  CHECK(nvfp4cal_version_number() == NVFP4CAL_VERSION_MAJOR * 10000 + NVFP4CAL_VERSION_MINOR * 100 + NVFP4CAL_VERSION_PATCH);
  CHECK(nvfp4cal_abi_version() == 0);
  CHECK(strstr(nvfp4cal_build_info(), nvfp4cal_version()) != NULL);
  CHECK(strstr(nvfp4cal_cpu_targets(), nvfp4cal_cpu_target()) != NULL);
  CHECK(strstr(nvfp4cal_cpu_targets(), "scalar") != NULL);
}

static void status_texts(void) {
  int32_t status, other;
  for (status = 0; status >= -14; --status) {
    CHECK(strcmp(nvfp4cal_status_string(status), "unknown status") != 0);
    for (other = 0; other > status; --other) CHECK(strcmp(nvfp4cal_status_string(status), nvfp4cal_status_string(other)) != 0);
  }
  CHECK(strcmp(nvfp4cal_status_string(-2), "invalid argument") == 0);
  CHECK(strcmp(nvfp4cal_status_string(1), "unknown status") == 0);
  CHECK(strcmp(nvfp4cal_status_string(INT32_MIN), "unknown status") == 0);
}

static void round_trip(void) {
  nvfp4cal_tensor x = matrix(values, NVFP4CAL_DTYPE_F32, ROWS, COLS), packed = matrix(packed_data, NVFP4CAL_DTYPE_U8, ROWS, COLS / 2);
  nvfp4cal_tensor scales = matrix(scale_data, NVFP4CAL_DTYPE_E4M3, ROWS, BLOCKS), scale = scalar(&global_data);
  nvfp4cal_tensor out = matrix(decoded, NVFP4CAL_DTYPE_F32, ROWS, COLS);
  /* G = 2688 makes s2 = 1, so that these values are representable. */
  float amax = 2688.0f;
  nvfp4cal_tensor global_amax = scalar(&amax);
  fill();
  CHECK(nvfp4cal_quantize(NULL, &x, &global_amax, NULL, NULL, &packed, &scales, &scale, NULL) == NVFP4CAL_OK);
  CHECK(global_data == 1.0f);
  CHECK(scale_data[0] == 0x38 && scale_data[ROWS * BLOCKS - 1] == 0x38);
  CHECK(packed_data[0] == 0x90); /* elements 0 and -0.5: low nibble first */
  CHECK(nvfp4cal_dequantize(NULL, &packed, &scales, &scale, NVFP4CAL_DECODE_MODELOPT, &out, NULL) == NVFP4CAL_OK);
  for (int i = 0; i < ROWS * COLS; ++i) CHECK(decoded[i] == values[i]);
}

static void shape_query(void) {
  nvfp4cal_tensor x = matrix(values, NVFP4CAL_DTYPE_F32, ROWS, COLS);
  nvfp4cal_tensor packed = {.struct_size = sizeof packed}, scales = packed, scale = packed;
  fill();
  CHECK(nvfp4cal_quantize(NULL, &x, NULL, NULL, NULL, &packed, &scales, &scale, NULL) == NVFP4CAL_OK);
  CHECK(packed.data == NULL && packed.dtype == NVFP4CAL_DTYPE_U8);
  CHECK(packed.ndim == 2 && packed.shape[0] == ROWS && packed.shape[1] == COLS / 2);
  CHECK(scales.dtype == NVFP4CAL_DTYPE_E4M3 && scales.ndim == 2 && scales.shape[0] == ROWS && scales.shape[1] == BLOCKS);
  CHECK(scale.dtype == NVFP4CAL_DTYPE_F32);
}

static void errors_say_the_value(void) {
  nvfp4cal_tensor x = matrix(values, NVFP4CAL_DTYPE_F32, 1, 40), packed = matrix(packed_data, NVFP4CAL_DTYPE_U8, 1, 20);
  nvfp4cal_tensor scales = matrix(scale_data, NVFP4CAL_DTYPE_E4M3, 1, 3), small = x;
  fill();
  CHECK(nvfp4cal_quantize(NULL, &x, NULL, NULL, NULL, &packed, &scales, NULL, NULL) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(strstr(nvfp4cal_last_error(), "40") != NULL);
  small.struct_size = 8;
  CHECK(nvfp4cal_quantize(NULL, &small, NULL, NULL, NULL, &packed, &scales, NULL, NULL) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  x.device_type = 2;
  CHECK(nvfp4cal_quantize(NULL, &x, NULL, NULL, NULL, &packed, &scales, NULL, NULL) == NVFP4CAL_ERROR_CUDA_UNAVAILABLE);
}

static char first_text_of_thread[4], text_after_failure[256];

static void *other_thread(void *unused) {
  (void)unused;
  strncpy(first_text_of_thread, nvfp4cal_last_error(), sizeof first_text_of_thread - 1);
  nvfp4cal_max_set_block_size(NULL, 16);
  strncpy(text_after_failure, nvfp4cal_last_error(), sizeof text_after_failure - 1);
  return NULL;
}

static void last_error_is_per_thread(void) {
  char mine[256] = "";
  pthread_t thread;
  CHECK(nvfp4cal_scale_candidates(NULL, 0, NULL) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  strncpy(mine, nvfp4cal_last_error(), sizeof mine - 1);
  CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(first_text_of_thread[0] == '\0');
  CHECK(text_after_failure[0] != '\0' && strcmp(text_after_failure, mine) != 0);
  CHECK(strcmp(nvfp4cal_last_error(), mine) == 0);
}

int main(void) {
  run_case("layouts", layouts);
  run_case("constants", constants);
  run_case("versions", versions);
  run_case("status texts", status_texts);
  run_case("round trip", round_trip);
  run_case("shape query", shape_query);
  run_case("errors say the value", errors_say_the_value);
  run_case("last error is per thread", last_error_is_per_thread);
  return finish();
}
