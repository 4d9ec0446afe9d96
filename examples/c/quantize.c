/* Quantizes a matrix to NVFP4, decodes it and prints the relative error of both ways to choose the block scales. */
#include <nvfp4cal.h>
#include <stdio.h>

enum { ROWS = 64, COLS = 256, BLOCKS = COLS / 16 };

static float weights[ROWS * COLS], decoded[ROWS * COLS];
static uint8_t nibbles[ROWS * COLS / 2], block_scales[ROWS * BLOCKS];

/* Relative squared error after a round trip, or -1. */
static double round_trip(int32_t method) {
  float global = 0.0f;
  double error = 0.0, sum = 0.0;
  nvfp4cal_options options = {.struct_size = sizeof options, .method = method};
  nvfp4cal_tensor x = {.struct_size = sizeof x, .data = weights, .dtype = NVFP4CAL_DTYPE_F32, .ndim = 2, .shape = {ROWS, COLS}};
  nvfp4cal_tensor packed = {
      .struct_size = sizeof packed, .data = nibbles, .dtype = NVFP4CAL_DTYPE_U8, .ndim = 2, .shape = {ROWS, COLS / 2}};
  nvfp4cal_tensor scales = {
      .struct_size = sizeof scales, .data = block_scales, .dtype = NVFP4CAL_DTYPE_E4M3, .ndim = 2, .shape = {ROWS, BLOCKS}};
  nvfp4cal_tensor scale = {.struct_size = sizeof scale, .data = &global, .dtype = NVFP4CAL_DTYPE_F32};
  nvfp4cal_tensor out = {.struct_size = sizeof out, .data = decoded, .dtype = NVFP4CAL_DTYPE_F32, .ndim = 2, .shape = {ROWS, COLS}};
  if (nvfp4cal_quantize(NULL, &x, NULL, NULL, &options, &packed, &scales, &scale, NULL) != NVFP4CAL_OK ||
      nvfp4cal_dequantize(NULL, &packed, &scales, &scale, NVFP4CAL_DECODE_MODELOPT, &out, NULL) != NVFP4CAL_OK) {
    fprintf(stderr, "%s\n", nvfp4cal_last_error());
    return -1.0;
  }
  for (int i = 0; i < ROWS * COLS; ++i) {
    const double difference = (double)weights[i] - decoded[i];
    error += difference * difference;
    sum += (double)weights[i] * weights[i];
  }
  return error / sum;
}

/* Bell-shaped values without a random library: sums of four draws of a 32-bit generator, the same on every machine. */
static void fill(void) {
  uint32_t state = 1;
  for (int i = 0; i < ROWS * COLS; ++i) {
    int32_t sum = 0;
    for (int k = 0; k < 4; ++k) {
      state = state * 1664525u + 1013904223u;
      sum += (int32_t)(state >> 16) - 32768;
    }
    weights[i] = (float)sum / 65536.0f;
  }
}

int main(void) {
  fill();
  const double max_error = round_trip(NVFP4CAL_METHOD_MAX);
  const double mse_error = round_trip(NVFP4CAL_METHOD_MSE);
  if (max_error < 0.0 || mse_error < 0.0) return 1;
  printf("relative squared error, scales from the maximum: %.6f\n", max_error);
  printf("relative squared error, scales by exact search:  %.6f\n", mse_error);
  return 0;
}
