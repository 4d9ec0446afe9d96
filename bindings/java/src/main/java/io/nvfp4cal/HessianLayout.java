package io.nvfp4cal;

/** What a {@link HessianAccumulator} gives. [nvfp4cal.h: NVFP4CAL_HESSIAN_*] */
public enum HessianLayout {
  /**
   * Block-diagonal, [cols / block, block, block]: what {@link Nvfp4#scaleSweepHessian(Tensor, Tensor, Tensor,
   * QuantizeOptions)} takes.
   */
  BLOCKS(NativeConstants.HESSIAN_BLOCKS),
  /** [cols, cols]. */
  FULL(NativeConstants.HESSIAN_FULL),
  /** [cols], the sums of squares: weights of a search where all are positive. */
  DIAGONAL(NativeConstants.HESSIAN_DIAGONAL);

  /** The number that the C interface uses. */
  final int value;

  HessianLayout(int value) {
    this.value = value;
  }
}
