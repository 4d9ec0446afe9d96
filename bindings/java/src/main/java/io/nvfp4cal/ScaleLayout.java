package io.nvfp4cal;

/** Order of the block scales in memory. [nvfp4cal.h: NVFP4CAL_SCALES_*] */
public enum ScaleLayout {
  /** Row-major, [rows, cols / block]: what checkpoints store. */
  LINEAR(NativeConstants.SCALES_LINEAR),
  /** 128x4 tiles padded with zeros: what tensor-core kernels read. */
  SWIZZLED(NativeConstants.SCALES_SWIZZLED);

  /** The number that the C interface uses. */
  final int value;

  ScaleLayout(int value) {
    this.value = value;
  }
}
