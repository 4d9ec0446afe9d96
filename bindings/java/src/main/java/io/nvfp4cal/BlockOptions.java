package io.nvfp4cal;

/**
 * Options of the searches of {@link Nvfp4Blocks}. A new object, like null, means qwantize's own behaviour. [nvfp4cal.h:
 * nvfp4cal_block_options]
 *
 * @since 0.1
 */
public final class BlockOptions {
  private static final int FLAGS = 0;
  private static final int OUTER = 1;
  private static final int INNER = 2;

  /** Read by the native layer: the struct's fields from flags on, in order. */
  private final int[] values = new int[INNER + 1];

  /** The defaults. */
  public BlockOptions() {}

  /**
   * Search noise blocks too, those whose naive scale is no better than zeros (qwantize leaves them that scale).
   *
   * @param enable default false
   * @return this
   */
  public BlockOptions searchNoise(boolean enable) {
    return flag((int) NativeConstants.BLOCK_SEARCH_NOISE, enable);
  }

  /**
   * ADMM starts from the scale of optimalHessian and keeps that result where it ends with a larger error.
   *
   * @param enable default false
   * @return this
   */
  public BlockOptions admmFromOptimal(boolean enable) {
    return flag((int) NativeConstants.BLOCK_ADMM_FROM_OPTIMAL, enable);
  }

  /**
   * Steps of ADMM.
   *
   * @param outer scale updates, 1 .. 1000; 0: 3
   * @param inner steps between them, 1 .. 1000; 0: 10
   * @return this
   */
  public BlockOptions admmSteps(int outer, int inner) {
    values[OUTER] = outer;
    values[INNER] = inner;
    return this;
  }

  private BlockOptions flag(int flag, boolean enable) {
    values[FLAGS] = enable ? values[FLAGS] | flag : values[FLAGS] & ~flag;
    return this;
  }
}
