/* What the C programs here share beside check.h: memory, views of it, and what a refusal looks like. */
#ifndef NVFP4CAL_TESTS_C_VIEWS_H
#define NVFP4CAL_TESTS_C_VIEWS_H

#include <nvfp4cal.h>
#include <stddef.h>

enum { ROWS = 4, COLS = 32, BLOCKS = COLS / 16 };

static float values[ROWS * COLS];
static uint8_t packed_data[ROWS * COLS / 2], scale_data[ROWS * BLOCKS];
static float global_data;

static nvfp4cal_tensor matrix(void *data, int32_t dtype, int64_t rows, int64_t cols) {
  nvfp4cal_tensor view = {.struct_size = sizeof view, .data = data, .dtype = dtype, .ndim = 2, .shape = {rows, cols}};
  return view;
}

static nvfp4cal_tensor scalar(float *data) {
  nvfp4cal_tensor view = {.struct_size = sizeof view, .data = data, .dtype = NVFP4CAL_DTYPE_F32};
  return view;
}

/* Multiples of the levels that a block with scale 1 holds exactly; each row has a 6. */
static void fill(void) {
  static const float levels[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  int i;
  for (i = 0; i < ROWS * COLS; ++i) values[i] = (i % 3 == 1 ? -1.0f : 1.0f) * levels[i % 8];
}

#define OFFSET_IS(type, field, expected) CHECK(offsetof(type, field) == (expected))

#endif
