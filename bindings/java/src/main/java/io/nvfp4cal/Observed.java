package io.nvfp4cal;

/** How the dimensions of what a {@link RangeObserver} sees are read. [nvfp4cal.h: NVFP4CAL_OBSERVED_*] */
public enum Observed {
  /** A matrix [rows, cols]. */
  WEIGHT(NativeConstants.OBSERVED_WEIGHT),
  /** [.., tokens, hidden]. */
  ACTIVATION(NativeConstants.OBSERVED_ACTIVATION);

  /** The number that the C interface uses. */
  final int value;

  Observed(int value) {
    this.value = value;
  }
}
