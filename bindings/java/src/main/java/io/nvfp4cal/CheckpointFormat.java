package io.nvfp4cal;

/** What a {@link CheckpointJob} writes. [nvfp4cal.h: NVFP4CAL_FORMAT_*] */
public enum CheckpointFormat {
  /** weight, weight_scale, weight_scale_2 = G / 2688 [ModelOpt's unified export]. */
  MODELOPT(NativeConstants.FORMAT_MODELOPT),
  /** weight_packed, weight_scale, weight_global_scale = 2688 / G [nvfp4-pack-quantized]. */
  COMPRESSED_TENSORS(NativeConstants.FORMAT_COMPRESSED_TENSORS);

  /** The number that the C interface uses. */
  final int value;

  CheckpointFormat(int value) {
    this.value = value;
  }
}
