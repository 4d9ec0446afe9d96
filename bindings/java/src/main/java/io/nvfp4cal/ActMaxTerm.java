package io.nvfp4cal;

/** What set the result of an {@link ActMaxCalibrator}. [nvfp4cal.h: NVFP4CAL_ACTMAX_TERM_*] */
public enum ActMaxTerm {
  /** rho * B_min. */
  B_MIN(NativeConstants.ACTMAX_TERM_B_MIN),
  /** margin * B_max. */
  B_MAX(NativeConstants.ACTMAX_TERM_B_MAX),
  /** The bin of a percentile is below every number: the largest magnitude itself. */
  LITERAL_MAX(NativeConstants.ACTMAX_TERM_LITERAL_MAX);

  /** The number that the C interface uses. */
  final int value;

  ActMaxTerm(int value) {
    this.value = value;
  }

  static ActMaxTerm of(long value) {
    for (ActMaxTerm one : values()) {
      if (one.value == value) {
        return one;
      }
    }
    throw new IllegalArgumentException("unknown ActMaxTerm " + value);
  }
}
