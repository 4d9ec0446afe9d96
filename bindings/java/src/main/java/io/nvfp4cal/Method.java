package io.nvfp4cal;

/** How the scale of a block is chosen. [nvfp4cal.h: NVFP4CAL_METHOD_*] */
public enum Method {
  /** From the largest magnitude of the block [ModelOpt's default]. */
  MAX(NativeConstants.METHOD_MAX),
  /** The code with the least squared error of all 126, exactly [ModelOpt NVFP4MSECalibrator]. */
  MSE(NativeConstants.METHOD_MSE),
  /**
   * For {@link CheckpointJob} alone: the better of the codes by which the largest magnitude of the block becomes 6 or 4
   * [ModelOpt's 4/6].
   */
  FOUR_OVER_SIX(NativeConstants.METHOD_FOUR_OVER_SIX),
  /** For {@link CheckpointJob} alone: {@link Gptq} for layers with a Hessian, MSE for the others. */
  GPTQ(NativeConstants.METHOD_GPTQ);

  /** The number that the C interface uses. */
  final int value;

  Method(int value) {
    this.value = value;
  }
}
