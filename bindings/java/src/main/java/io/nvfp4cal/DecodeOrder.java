package io.nvfp4cal;

/** Order of the two float32 operations of a decode; each is bit-exact to its tool. [nvfp4cal.h: NVFP4CAL_DECODE_*] */
public enum DecodeOrder {
  /** E2M1 * (v * s2), s2 = weight_scale_2. */
  MODELOPT(NativeConstants.DECODE_MODELOPT),
  /** E2M1 * (v / g), g = weight_global_scale = 2688 / G. */
  COMPRESSED_TENSORS(NativeConstants.DECODE_COMPRESSED_TENSORS);

  /** The number that the C interface uses. */
  final int value;

  DecodeOrder(int value) {
    this.value = value;
  }
}
