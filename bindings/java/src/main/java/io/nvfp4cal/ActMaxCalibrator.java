package io.nvfp4cal;

/**
 * The global amax of an activation from the distribution of its block amaxes [ModelOpt NVFP4ActMaxCalibrator]:
 * max(rho * B_min, margin * B_max), with low and high percentiles of the amaxes of all blocks that are not zero.
 * Merging is exact in any order. docs/actmax.md. [nvfp4cal.h: nvfp4cal_actmax]
 *
 * <p>{@code collect} counts the blocks of x, any shape each time; blocks lie along the last dimension, a row's last
 * block may be short. Failures: INVALID_ARGUMENT, UNSUPPORTED (dtype), NOT_FINITE.
 *
 * @since 0.1
 */
public final class ActMaxCalibrator extends Calibrator<ActMaxCalibrator> {
  private final NativeActMax handle;

  /** ModelOpt's defaults. */
  public ActMaxCalibrator() {
    this(new NativeActMax());
  }

  private ActMaxCalibrator(NativeActMax handle) {
    super(handle);
    this.handle = handle;
  }

  /**
   * The factor of the low percentile.
   *
   * @param rho 0 &lt; rho &lt; 28672; default 16384
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public ActMaxCalibrator setRho(double rho) {
    return set(() -> handle.set_rho(rho));
  }

  /**
   * The percentiles B_min and B_max.
   *
   * @param bMinPercentile percent, 0 to 100; default 1; 0: the first bin
   * @param bMaxPercentile percent, 0 to 100; default 99.99; 100: the largest magnitude itself
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public ActMaxCalibrator setPercentiles(double bMinPercentile, double bMaxPercentile) {
    return set(() -> handle.set_percentiles(bMinPercentile, bMaxPercentile));
  }

  /**
   * The factor of the high percentile.
   *
   * @param margin finite, &gt;= 0; default 1
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public ActMaxCalibrator setMargin(double margin) {
    return set(() -> handle.set_margin(margin));
  }

  /**
   * The bins of the histogram; amaxes outside the range count in the first or last bin.
   *
   * @param numBins 1 .. 65536; default 512
   * @param log2Min -16384 .. 16384; default -40
   * @param log2Max at least 2^-20 more; default 40
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public ActMaxCalibrator setBins(int numBins, double log2Min, double log2Max) {
    return set(() -> handle.set_bins(numBins, log2Min, log2Max));
  }

  /**
   * Elements of a block.
   *
   * @param blockSize 16 (default) or 32
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public ActMaxCalibrator setBlockSize(int blockSize) {
    return set(() -> handle.set_block_size(blockSize));
  }

  /**
   * The newer form [ModelOpt nvfp4_act_headroom]: B_min ignores blocks below B_max / 1e6, and the margin is 1 whatever
   * was set.
   *
   * @param enable default false
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public ActMaxCalibrator setHeadroom(boolean enable) {
    return set(() -> handle.set_headroom(enable ? 1 : 0));
  }

  /**
   * The global amax.
   *
   * @return &gt; 0 and finite, in the units of x
   * @throws NoDataException before the first collect, and if all that was collected is zero
   */
  public float computeAmax() {
    return result(handle::compute_amax).toFloatArray()[0];
  }

  /**
   * What the result came from.
   *
   * @return statistics
   * @throws NoDataException as for {@link #computeAmax}
   */
  public ActMaxStats computeStats() {
    return call(
        () -> {
          long[] bits = new long[ActMaxStats.LENGTH];
          handle.compute_stats(bits);
          return ActMaxStats.of(bits);
        });
  }

  /**
   * Adds other's counts: as if this calibrator had seen both streams, bit for bit, in any order.
   *
   * @param other unchanged, with equal options
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT: other options
   */
  public ActMaxCalibrator merge(ActMaxCalibrator other) {
    return mergeFrom(other, () -> handle.merge(other.handle));
  }

  /**
   * The data, to be reduced over processes in place.
   *
   * @param index 0: the counts, I64 [bins], {@link Reduction#SUM}; 1: the largest magnitude, float32 [], {@link
   *     Reduction#MAX}
   * @return a view that is valid until the next call on this calibrator
   * @throws NoDataException before the first collect
   * @throws Nvfp4calException INVALID_ARGUMENT past the last array
   */
  public StateArray stateArray(int index) {
    return stateArray(index, handle::state_tensor);
  }
}
