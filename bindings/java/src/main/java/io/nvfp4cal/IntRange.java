package io.nvfp4cal;

/** Integers of n bits; the scale is largest / amax. [nvfp4cal.h: NVFP4CAL_INT_*] */
public enum IntRange {
  /** -(2^(n-1) - 1) .. 2^(n-1) - 1 [ModelOpt narrow_range]. */
  SYMMETRIC(NativeConstants.INT_SYMMETRIC),
  /** -2^(n-1) .. 2^(n-1) - 1, the same scale. */
  FULL(NativeConstants.INT_FULL),
  /** 0 .. 2^n - 1. */
  UNSIGNED(NativeConstants.INT_UNSIGNED);

  /** The number that the C interface uses. */
  final int value;

  IntRange(int value) {
    this.value = value;
  }
}
