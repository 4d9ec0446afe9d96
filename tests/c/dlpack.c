/* nvfp4cal_dlpack.h: a DLTensor, laid out here as dlpack.h has it, becomes a view of the same memory. */
#include <nvfp4cal_dlpack.h>
#include <string.h>

#include "check.h"

/* The declarations of dlpack.h, written anew: what the optional header mirrors. */
typedef enum { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3, kDLROCMHost = 11 } DLDeviceType;
typedef struct {
  DLDeviceType device_type;
  int32_t device_id;
} DLDevice;
typedef struct {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} DLDataType;
typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;
  int64_t *strides;
  uint64_t byte_offset;
} DLTensor;

static float values[4 * 32];
static int64_t shape[2] = {4, 16}, strides[2] = {32, 2};

static DLTensor contiguous(void) {
  DLTensor x = {values, {kDLCPU, 0}, 2, {2, 32, 1}, shape, NULL, 0};
  return x;
}

static void layout(void) {
  const DLTensor x = contiguous();
  nvfp4cal_tensor view;
  memset(&view, 0xFF, sizeof view);
  CHECK(sizeof(DLTensor) == sizeof(nvfp4cal_dltensor));
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_OK);
  CHECK(view.struct_size == sizeof view && view.flags == 0 && view.data == values && view.dtype == NVFP4CAL_DTYPE_F32);
  CHECK(view.device_type == 1 && view.device_id == 0 && view.ndim == 2 && view.shape[0] == 4 && view.shape[1] == 16);
  CHECK(view.shape[2] == 0 && view.shape[7] == 0 && view.strides[0] == 0 && view.strides[7] == 0);
}

static void strided_and_offset(void) {
  DLTensor x = contiguous();
  nvfp4cal_tensor view, out = {sizeof out, 0, NULL, 0, 0, 0, 0, {0}, {0}};
  float amax[4];
  int i;
  for (i = 0; i < 4 * 32; ++i) values[i] = i % 2 ? 2.0f : 1000.0f;
  x.strides = strides;
  x.byte_offset = sizeof(float);
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_OK);
  CHECK(view.flags == NVFP4CAL_TENSOR_HAS_STRIDES && view.data == values + 1 && view.strides[0] == 32 && view.strides[1] == 2);
  out.data = amax;
  out.dtype = NVFP4CAL_DTYPE_F32;
  out.ndim = 2;
  out.shape[0] = 4;
  out.shape[1] = 1;
  /* Only the elements of the view are read: all of them are 2, and the best amax of such a block is itself. */
  CHECK(nvfp4cal_scale_sweep(NULL, &view, NULL, NULL, &out, NULL) == NVFP4CAL_OK);
  CHECK(amax[0] > 1.0f && amax[0] < 3.0f && amax[3] == amax[0]);
}

static void dtypes(void) {
  static const struct {
    DLDataType type;
    int32_t dtype;
  } pairs[] = {{{2, 16, 1}, NVFP4CAL_DTYPE_F16}, {{2, 64, 1}, NVFP4CAL_DTYPE_F64}, {{4, 16, 1}, NVFP4CAL_DTYPE_BF16},
               {{0, 8, 1}, NVFP4CAL_DTYPE_I8},   {{1, 8, 1}, NVFP4CAL_DTYPE_U8},   {{10, 8, 1}, NVFP4CAL_DTYPE_E4M3},
               {{0, 64, 1}, NVFP4CAL_DTYPE_I64}};
  size_t i;
  for (i = 0; i < sizeof pairs / sizeof *pairs; ++i) {
    DLTensor x = contiguous();
    nvfp4cal_tensor view;
    x.dtype = pairs[i].type;
    CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_OK && view.dtype == pairs[i].dtype);
  }
}

static void devices(void) {
  DLTensor x = contiguous();
  nvfp4cal_tensor view, out = {sizeof out, 0, NULL, 0, 0, 0, 0, {0}, {0}};
  x.device.device_type = kDLCUDAHost;
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_OK && view.device_type == 1);
  x.device.device_type = kDLROCMHost;
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_OK && view.device_type == 1);
  x.device.device_type = kDLCUDA;
  x.device.device_id = 3;
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_OK && view.device_type == 2 && view.device_id == 3);
  CHECK(nvfp4cal_scale_sweep(NULL, &view, NULL, NULL, &out, NULL) == NVFP4CAL_ERROR_CUDA_UNAVAILABLE);
}

static void scalars_and_nonsense(void) {
  static int64_t ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  DLTensor x = contiguous();
  nvfp4cal_tensor view;
  x.ndim = 0;
  x.shape = NULL;
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_OK && view.ndim == 0);
  x.data = NULL;
  x.byte_offset = 64;
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_OK && view.data == NULL);
  x.ndim = 9;
  x.shape = ones;
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_ERROR_UNSUPPORTED);
  x.ndim = -1;
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  x.ndim = 1;
  x.shape = NULL;
  CHECK(nvfp4cal_tensor_from_dlpack(&x, &view) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_tensor_from_dlpack(NULL, &view) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_tensor_from_dlpack(&x, NULL) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
}

int main(void) {
  run_case("layout", layout);
  run_case("strided_and_offset", strided_and_offset);
  run_case("dtypes", dtypes);
  run_case("devices", devices);
  run_case("scalars_and_nonsense", scalars_and_nonsense);
  return finish();
}
