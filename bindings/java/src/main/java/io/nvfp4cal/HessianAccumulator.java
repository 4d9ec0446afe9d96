package io.nvfp4cal;

/**
 * X^T X of activations over many tensors: what weighs the errors of a layer's weights [ModelOpt's local Hessian,
 * qwantize nvfp4_optimal_hessian from X]. Products are exact, sums are float64; merging adds. docs/hessian.md.
 * [nvfp4cal.h: nvfp4cal_hessian]
 *
 * <p>{@code collect} adds x^T x of x [..., cols]: every leading index is a row. cols is the same each time and, for
 * blocks, a multiple of the block size. Failures: INVALID_ARGUMENT (shape), UNSUPPORTED (dtype), NOT_FINITE,
 * OUT_OF_MEMORY.
 *
 * @since 0.1
 */
public final class HessianAccumulator extends Calibrator<HessianAccumulator> {
  private final NativeHessian handle;

  /** Blocks of 16, not normalized, no damping. */
  public HessianAccumulator() {
    this(new NativeHessian());
  }

  private HessianAccumulator(NativeHessian handle) {
    super(handle);
    this.handle = handle;
  }

  static NativeHessian nativeOf(HessianAccumulator accumulator) {
    return accumulator == null ? null : accumulator.handle;
  }

  /**
   * Which part of X^T X is kept.
   *
   * @param layout default {@link HessianLayout#BLOCKS}
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public HessianAccumulator setLayout(HessianLayout layout) {
    return set(() -> handle.set_layout(layout.value));
  }

  /**
   * Size of the blocks, read by {@link HessianLayout#BLOCKS}.
   *
   * @param blockSize 16 (default) or 32
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public HessianAccumulator setBlockSize(int blockSize) {
    return set(() -> handle.set_block_size(blockSize));
  }

  /**
   * Divides the result by the number of rows [ModelOpt], or not [qwantize].
   *
   * @param enable default false
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public HessianAccumulator setNormalize(boolean enable) {
    return set(() -> handle.set_normalize(enable ? 1 : 0));
  }

  /**
   * Adds this times the mean of the diagonal to the diagonal of the result [GPTQ percdamp]. The sums are not touched.
   *
   * @param fraction &gt;= 0; default 0
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public HessianAccumulator setDamping(double fraction) {
    return set(() -> handle.set_damping(fraction));
  }

  /**
   * The number of rows collected.
   *
   * @return 0 before the first
   */
  public long rows() {
    return call(
        () -> {
          long[] out = new long[1];
          handle.rows(out);
          return out[0];
        });
  }

  /**
   * The Hessian, rounded once from float64.
   *
   * @return float32 [cols / block, block, block], [cols, cols] or [cols]
   * @throws NoDataException before the first collect
   */
  public Tensor computeHessian() {
    return result(handle::compute_hessian);
  }

  /**
   * The same into memory of the caller's.
   *
   * @param out float32 [cols / block, block, block], [cols, cols] or [cols]
   * @throws NoDataException before the first collect
   */
  public void computeHessian(Tensor out) {
    run(() -> handle.compute_hessian(out));
  }

  /**
   * Adds other's sums and rows.
   *
   * @param other unchanged, with equal options
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT: other options or columns
   */
  public HessianAccumulator merge(HessianAccumulator other) {
    return mergeFrom(other, () -> handle.merge(other.handle));
  }

  /**
   * The data, to be reduced over processes in place.
   *
   * @param index 0: the float64 sums, shaped as the result (a full matrix: one row of the kept half); 1: the number
   *     of rows, float64 [1]; both {@link Reduction#SUM}
   * @return a view that is valid until the next call on this calibrator
   * @throws NoDataException before the first collect
   * @throws Nvfp4calException INVALID_ARGUMENT past the last array
   */
  public StateArray stateArray(int index) {
    return stateArray(index, handle::state_tensor);
  }
}
