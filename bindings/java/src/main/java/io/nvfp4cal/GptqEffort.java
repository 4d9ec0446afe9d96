package io.nvfp4cal;

/** How much {@link Gptq} tries; each includes the one before. [nvfp4cal.h: NVFP4CAL_GPTQ_*] */
public enum GptqEffort {
  /** Blocks rounded in order, errors passed on. */
  FAST(NativeConstants.GPTQ_FAST),
  /** Then sweeps of coordinate descent over the codes. */
  DEFAULT(NativeConstants.GPTQ_DEFAULT),
  /** Then groups of eight blocks rounded anew with their scales. */
  MAX(NativeConstants.GPTQ_MAX);

  /** The number that the C interface uses. */
  final int value;

  GptqEffort(int value) {
    this.value = value;
  }
}
