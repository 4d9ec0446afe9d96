package io.nvfp4cal;

/** Floats that one amax scales: the amax becomes the largest value. [nvfp4cal.h: NVFP4CAL_FLOAT_*] */
public enum FloatFormat {
  /** Largest value 448. */
  E4M3(NativeConstants.FLOAT_E4M3),
  /** Largest value 57344. */
  E5M2(NativeConstants.FLOAT_E5M2),
  /** Largest value 6. */
  E2M1(NativeConstants.FLOAT_E2M1);

  /** The number that the C interface uses. */
  final int value;

  FloatFormat(int value) {
    this.value = value;
  }
}
