package io.nvfp4cal;

/** Numbers that the ranges of a {@link RangeObserver} are for. [nvfp4cal.h: NVFP4CAL_OBSERVER_FORMAT_*] */
public enum ObserverFormat {
  /** Integers of 8 bits. */
  INT8(NativeConstants.OBSERVER_FORMAT_INT8),
  /** Integers of 4 bits. */
  INT4(NativeConstants.OBSERVER_FORMAT_INT4),
  /** E4M3. */
  FP8(NativeConstants.OBSERVER_FORMAT_FP8),
  /** E2M1. */
  FP4(NativeConstants.OBSERVER_FORMAT_FP4);

  /** The number that the C interface uses. */
  final int value;

  ObserverFormat(int value) {
    this.value = value;
  }
}
