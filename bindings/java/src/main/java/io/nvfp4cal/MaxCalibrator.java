package io.nvfp4cal;

/**
 * Largest magnitude per tensor, per axis or per block, over many tensors [ModelOpt MaxCalibrator]. Merging is exact.
 * [nvfp4cal.h: nvfp4cal_max]
 *
 * <p>{@code collect} takes the maximum of what was seen and |x|. Per tensor: any shape each time; per axis and per
 * block: the kept extents stay the same. Failures: INVALID_ARGUMENT (shape), UNSUPPORTED (dtype), NOT_FINITE.
 *
 * @since 0.1
 */
public final class MaxCalibrator extends Calibrator<MaxCalibrator> {
  private final NativeMax handle;

  /** One amax per tensor. */
  public MaxCalibrator() {
    this(new NativeMax());
  }

  private MaxCalibrator(NativeMax handle) {
    super(handle);
    this.handle = handle;
  }

  /**
   * Keeps these axes and reduces the others [ModelOpt axis]. Excludes {@link #setBlockSize}.
   *
   * @param axes distinct; negative ones count from the end; none: per tensor
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public MaxCalibrator setAxes(int... axes) {
    return set(() -> handle.set_axes(axes));
  }

  /**
   * One amax per block of the last dimension. Excludes {@link #setAxes}.
   *
   * @param blockSize 16 or 32; 0: off
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public MaxCalibrator setBlockSize(int blockSize) {
    return set(() -> handle.set_block_size(blockSize));
  }

  /**
   * The largest magnitudes.
   *
   * @return float32; [] per tensor, x's shape with reduced extents 1 per axis, x.shape[:-1] + [cols / block] per block
   * @throws NoDataException before the first collect
   */
  public Tensor computeAmax() {
    return result(handle::compute_amax);
  }

  /**
   * The same into memory of the caller's.
   *
   * @param out float32; [] per tensor, x's shape with reduced extents 1 per axis, x.shape[:-1] + [cols / block] per
   *     block
   * @throws NoDataException before the first collect
   */
  public void computeAmax(Tensor out) {
    run(() -> handle.compute_amax(out));
  }

  /**
   * Takes over other's maxima: as if this calibrator had seen both streams.
   *
   * @param other unchanged, with equal options
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT: other options
   */
  public MaxCalibrator merge(MaxCalibrator other) {
    return mergeFrom(other, () -> handle.merge(other.handle));
  }

  /**
   * The data, to be reduced over processes in place.
   *
   * @param index 0: the maxima, {@link Reduction#MAX}
   * @return a view that is valid until the next call on this calibrator
   * @throws NoDataException before the first collect
   * @throws Nvfp4calException INVALID_ARGUMENT past the last array
   */
  public StateArray stateArray(int index) {
    return stateArray(index, handle::state_tensor);
  }

  static NativeMax nativeOf(MaxCalibrator max) {
    return max == null ? null : max.handle;
  }
}
