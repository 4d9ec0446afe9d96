package io.nvfp4cal;

/**
 * Options of the functions of {@link Nvfp4}. A new object, like null, means the defaults. Read when a call begins,
 * never kept. [nvfp4cal.h: nvfp4cal_options]
 *
 * @since 0.1
 */
public final class QuantizeOptions {
  private static final int FLAGS = 0;
  private static final int METHOD = 1;
  private static final int BLOCK_SIZE = 2;
  private static final int NORMALIZATION = 3;
  private static final int CODE_LO = 4;
  private static final int CODE_HI = 5;
  private static final int SCALE_LAYOUT = 6;

  /** Read by the native layer, as is {@code weights}: the struct's fields from flags on, in order. */
  private final int[] values = new int[SCALE_LAYOUT + 1];

  private Tensor weights;

  /** The defaults: method max, blocks of 16, normalization 448, all codes, linear scales, no weights. */
  public QuantizeOptions() {}

  /**
   * How scales are chosen by quantize and fakeQuantize; the sweeps always search.
   *
   * @param method default {@link Method#MAX}
   * @return this
   */
  public QuantizeOptions method(Method method) {
    values[METHOD] = method.value;
    return this;
  }

  /**
   * Elements that share a scale.
   *
   * @param blockSize 16 (default) or 32
   * @return this
   */
  public QuantizeOptions blockSize(int blockSize) {
    values[BLOCK_SIZE] = blockSize;
    return this;
  }

  /**
   * N in the global scale G / (6 N).
   *
   * @param normalization 448 (default), or 256 for "four over six"
   * @return this
   */
  public QuantizeOptions normalization(int normalization) {
    values[NORMALIZATION] = normalization;
    return this;
  }

  /**
   * Searches only the codes n + lo .. n + hi, n the code that {@link Method#MAX} gives. An approximation.
   *
   * @param lo -126 .. 126
   * @param hi lo .. 126
   * @return this
   */
  public QuantizeOptions codeWindow(int lo, int hi) {
    values[FLAGS] |= (int) NativeConstants.OPTION_CODE_WINDOW;
    values[CODE_LO] = lo;
    values[CODE_HI] = hi;
    return this;
  }

  /**
   * Order of the scales that quantize writes.
   *
   * @param layout default {@link ScaleLayout#LINEAR}
   * @return this
   */
  public QuantizeOptions scaleLayout(ScaleLayout layout) {
    values[SCALE_LAYOUT] = layout.value;
    return this;
  }

  /**
   * Weights of the squared errors.
   *
   * @param weights positive and finite, [last dimension of x] or x's shape; null: all one
   * @return this
   */
  public QuantizeOptions weights(Tensor weights) {
    this.weights = weights;
    return this;
  }

  Tensor weights() {
    return weights;
  }
}
