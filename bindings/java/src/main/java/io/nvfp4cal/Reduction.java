package io.nvfp4cal;

/** How a state array is reduced over processes. [nvfp4cal.h: NVFP4CAL_REDUCE_*] */
public enum Reduction {
  /** Elements are added. */
  SUM(NativeConstants.REDUCE_SUM),
  /** The largest is taken. */
  MAX(NativeConstants.REDUCE_MAX),
  /** The smallest is taken. */
  MIN(NativeConstants.REDUCE_MIN);

  /** The number that the C interface uses. */
  final int value;

  Reduction(int value) {
    this.value = value;
  }

  static Reduction of(long value) {
    for (Reduction one : values()) {
      if (one.value == value) {
        return one;
      }
    }
    throw new IllegalArgumentException("unknown Reduction " + value);
  }
}
