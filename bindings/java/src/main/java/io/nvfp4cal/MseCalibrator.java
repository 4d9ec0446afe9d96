package io.nvfp4cal;

/**
 * The multiplier search [ModelOpt MseCalibrator]: of the candidates m, the one with the least error between x and
 * quantize(x, amax * m), over many tensors, per tensor or per channel. Losses are float64 sums; the first wins ties.
 * docs/mse.md. [nvfp4cal.h: nvfp4cal_mse]
 *
 * <p>Needs an initial amax and a quantizer before collect (WRONG_STATE). The initial amax is data: reset drops it.
 * {@code collect} adds the errors of x at every multiplier; kept extents stay the same, others may change. Failures:
 * WRONG_STATE, INVALID_ARGUMENT (shape; amax times the last multiplier beyond float32), UNSUPPORTED, NOT_FINITE (also
 * for what a callback filled in), CALLBACK, OUT_OF_MEMORY.
 *
 * <p>Functions of the caller are not part of exported states: the importing calibrator's own are used.
 *
 * @since 0.1
 */
public final class MseCalibrator extends Calibrator<MseCalibrator> {
  private final NativeMse handle;

  // The native side has weak references.
  private NativeCallback quantizer;
  private NativeCallback errors;

  /** Per tensor, multipliers 0.25 to 4 by 0.1, squared error, no quantizer. */
  public MseCalibrator() {
    this(new NativeMse());
  }

  private MseCalibrator(NativeMse handle) {
    super(handle);
    this.handle = handle;
  }

  /**
   * The amax that the multipliers scale.
   *
   * @param amax finite and &gt;= 0, copied. Without axes: one value, or a shape that broadcasts to x's; with axes:
   *     one value a channel, [C] or with extents of 1 where x is reduced
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, WRONG_STATE
   */
  public MseCalibrator setInitialAmax(Tensor amax) {
    return set(() -> handle.set_initial_amax(amax));
  }

  /**
   * Keeps these axes: one loss for each of their positions, the others are summed over.
   *
   * @param axes distinct; negative ones count from the end; none: per tensor
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public MseCalibrator setAxes(int... axes) {
    return set(() -> handle.set_axes(axes));
  }

  /**
   * ceil((stop - start) / step) + 1 candidates from start to stop, evenly spaced, 65536 of them at most.
   *
   * @param start &gt; 0; default 0.25
   * @param stop start .. 1e6; default 4
   * @param step &gt; 0; default 0.1
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public MseCalibrator setMultipliers(double start, double stop, double step) {
    return set(() -> handle.set_multipliers(start, stop, step));
  }

  /**
   * Quantizes to integers. Replaces any other quantizer, as the next three do.
   *
   * @param bits 2 to 8
   * @param range which integers
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public MseCalibrator setIntQuantizer(int bits, IntRange range) {
    return set(() -> handle.set_int_quantizer(bits, range.value));
  }

  /**
   * Quantizes to floats that one amax scales.
   *
   * @param format which floats
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public MseCalibrator setFloatQuantizer(FloatFormat format) {
    return set(() -> handle.set_float_quantizer(format.value));
  }

  /**
   * E2M1 with the E4M3 scale that belongs to a block amax [ModelOpt's static NVFP4].
   *
   * @param globalAmax G, finite and &gt; 0
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public MseCalibrator setNvfp4Quantizer(float globalAmax) {
    return set(() -> handle.set_nvfp4_quantizer(globalAmax));
  }

  /**
   * Quantizes with a function of the caller's.
   *
   * @param function not null
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public MseCalibrator setQuantizeFunction(QuantizeFunction function) {
    NativeCallback callback = NativeCallback.ofTensors(function::quantize);
    return set(
        () -> {
          handle.set_quantize_callback(NativeCallback.referenceOf(callback));
          quantizer = callback;
        });
  }

  /**
   * The error is (x - xq)^2, the default.
   *
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public MseCalibrator setSquaredError() {
    return set(() -> handle.set_squared_error());
  }

  /**
   * The error is |x - xq|.
   *
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public MseCalibrator setAbsoluteError() {
    return set(() -> handle.set_absolute_error());
  }

  /**
   * The error is |x - xq|^power.
   *
   * @param power 0 &lt; power &lt;= 64
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public MseCalibrator setPowerError(double power) {
    return set(() -> handle.set_power_error(power));
  }

  /**
   * Errors by a function of the caller's, one an element.
   *
   * @param function not null
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public MseCalibrator setErrorFunction(ErrorFunction function) {
    return setErrors(NativeConstants.ERRORS_ELEMENTS, NativeCallback.ofTensors(function::errors));
  }

  /**
   * Errors by a function of the caller's, one for the whole tensor.
   *
   * @param function not null
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public MseCalibrator setScalarErrorFunction(ScalarErrorFunction function) {
    NativeCallback.Tensors errors = (x, quantized, out) -> out.set(new double[] {function.error(x, quantized)});
    return setErrors(NativeConstants.ERRORS_SCALAR, NativeCallback.ofTensors(errors));
  }

  private MseCalibrator setErrors(int values, NativeCallback callback) {
    return set(
        () -> {
          handle.set_error_callback(new long[] {NativeCallback.referenceOf(callback), values});
          errors = callback;
        });
  }

  /**
   * The multipliers that are tried, in order.
   *
   * @return float32 [n]
   */
  public Tensor candidates() {
    return result(handle::candidates);
  }

  /**
   * The same into memory of the caller's.
   *
   * @param out float32 [n]
   * @throws Nvfp4calException INVALID_ARGUMENT: out of another size
   */
  public void candidates(Tensor out) {
    run(() -> handle.candidates(out));
  }

  /**
   * amax * best multiplier.
   *
   * @return float32, shape of the initial amax
   * @throws NoDataException before the first collect
   */
  public Tensor computeAmax() {
    return result(handle::compute_amax);
  }

  /**
   * The same into memory of the caller's.
   *
   * @param out float32, shape of the initial amax
   * @throws NoDataException before the first collect
   */
  public void computeAmax(Tensor out) {
    run(() -> handle.compute_amax(out));
  }

  /**
   * The best multipliers.
   *
   * @return float32, shape of the initial amax
   * @throws NoDataException before the first collect
   */
  public Tensor computeMultipliers() {
    return result(handle::compute_multipliers);
  }

  /**
   * The same into memory of the caller's.
   *
   * @param out float32, shape of the initial amax
   * @throws NoDataException before the first collect
   */
  public void computeMultipliers(Tensor out) {
    run(() -> handle.compute_multipliers(out));
  }

  /**
   * The losses.
   *
   * @return float64 [n multipliers] + kept extents (n, channels where that has more than 8 dimensions)
   * @throws NoDataException before the first collect
   */
  public Tensor losses() {
    return result(handle::losses);
  }

  /**
   * The same into memory of the caller's.
   *
   * @param out float64 [n multipliers] + kept extents (n, channels where that has more than 8 dimensions)
   * @throws NoDataException before the first collect
   */
  public void losses(Tensor out) {
    run(() -> handle.losses(out));
  }

  /**
   * Adds other's losses. Options and initial amax must be equal.
   *
   * @param other unchanged, with equal options
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT
   */
  public MseCalibrator merge(MseCalibrator other) {
    return mergeFrom(other, () -> handle.merge(other.handle));
  }

  /**
   * The data, to be reduced over processes in place.
   *
   * @param index 0: the losses, float64, {@link Reduction#SUM}
   * @return a view that is valid until the next call on this calibrator
   * @throws NoDataException before the first collect
   * @throws Nvfp4calException INVALID_ARGUMENT past the last array
   */
  public StateArray stateArray(int index) {
    return stateArray(index, handle::state_tensor);
  }
}
