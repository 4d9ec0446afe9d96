/*
 * DLPack tensors as nvfp4cal tensors. Optional: nvfp4cal.h does not need it, and it needs no dlpack.h.
 *
 * Copyright the nvfp4cal authors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef NVFP4CAL_DLPACK_H
#define NVFP4CAL_DLPACK_H

#include "nvfp4cal.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The memory layout of a DLTensor, the same in every release of DLPack. */
typedef struct nvfp4cal_dltensor {
  void *data;
  int32_t device_type;
  int32_t device_id;
  int32_t ndim;
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
  int64_t *shape;
  int64_t *strides; /* elements; NULL: contiguous, row-major */
  uint64_t byte_offset;
} nvfp4cal_dltensor;

/** Page-locked host memory, which the CPU reads as any other. */
#define NVFP4CAL_DLPACK_CUDA_HOST 3
#define NVFP4CAL_DLPACK_ROCM_HOST 11

/**
 * Describes a DLPack tensor as a view of the same memory. Nothing is copied or kept; the dtype is the functions' to accept.
 * @param dlpack [in] a DLTensor: &managed->dl_tensor
 * @param out    [out] all fields are set, struct_size too
 * @return NVFP4CAL_OK; INVALID_ARGUMENT for a null pointer or a negative ndim, UNSUPPORTED for more than 8 dimensions (these set no message). @since 0.1
 */
static inline nvfp4cal_status nvfp4cal_tensor_from_dlpack(const void *dlpack, nvfp4cal_tensor *out) {
  const nvfp4cal_dltensor *from = (const nvfp4cal_dltensor *)dlpack;
  int32_t d;
  if (!from || !out || from->ndim < 0 || (from->ndim > 0 && !from->shape)) return NVFP4CAL_ERROR_INVALID_ARGUMENT;
  if (from->ndim > NVFP4CAL_MAX_NDIM) return NVFP4CAL_ERROR_UNSUPPORTED;
  out->struct_size = (uint32_t)sizeof *out;
  out->flags = from->strides ? NVFP4CAL_TENSOR_HAS_STRIDES : 0u;
  out->data = from->data ? (char *)from->data + from->byte_offset : (void *)0;
  out->dtype = (int32_t)((uint32_t)from->code | ((uint32_t)from->bits << 8) | ((uint32_t)from->lanes << 16));
  out->device_type = from->device_type;
  if (from->device_type == NVFP4CAL_DLPACK_CUDA_HOST || from->device_type == NVFP4CAL_DLPACK_ROCM_HOST) out->device_type = 1;
  out->device_id = from->device_id;
  out->ndim = from->ndim;
  for (d = 0; d < NVFP4CAL_MAX_NDIM; ++d) {
    out->shape[d] = d < from->ndim ? from->shape[d] : 0;
    out->strides[d] = d < from->ndim && from->strides ? from->strides[d] : 0;
  }
  return NVFP4CAL_OK;
}

#ifdef __cplusplus
}
#endif
#endif /* NVFP4CAL_DLPACK_H */
