package io.nvfp4cal;

/**
 * The exact scale search as a calibrator [ModelOpt NVFP4MSECalibrator]: one collect between resets, the result is kept.
 * [nvfp4cal.h: nvfp4cal_sweep]
 *
 * <p>Needs a global amax. {@code collect} searches x at once, as {@link Nvfp4#scaleSweep(Tensor, Tensor,
 * QuantizeOptions)} does; a second collect before reset is WRONG_STATE. {@code reset} keeps the options and the global
 * amax.
 *
 * @since 0.1
 */
public final class SweepCalibrator extends Calibrator<SweepCalibrator> {
  private final NativeSweep handle;

  // The native side has weak references.
  private NativeCallback quantizer;
  private NativeCallback errors;

  /** Blocks of 16, normalization 448, all codes; no global amax yet. */
  public SweepCalibrator() {
    this(new NativeSweep());
  }

  private SweepCalibrator(NativeSweep handle) {
    super(handle);
    this.handle = handle;
  }

  /**
   * Elements that share a scale.
   *
   * @param blockSize 16 (default) or 32
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public SweepCalibrator setBlockSize(int blockSize) {
    return set(() -> handle.set_block_size(blockSize));
  }

  /**
   * N in the global scale G / (6 N).
   *
   * @param normalization 448 (default) or 256
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public SweepCalibrator setNormalization(int normalization) {
    return set(() -> handle.set_normalization(normalization));
  }

  /**
   * The global amax G. Required, here or by {@link #setGlobalAmaxFrom}.
   *
   * @param globalAmax float32 &gt;= 0, one element or one per slice of x's first dimension; copied
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, WRONG_STATE
   */
  public SweepCalibrator setGlobalAmax(Tensor globalAmax) {
    return set(() -> handle.set_global_amax(globalAmax));
  }

  /**
   * The global amax from a calibrator that holds one amax, or one per slice (axis 0). Read now, not kept.
   *
   * @param max unchanged
   * @return this
   * @throws NoDataException if it is empty
   */
  public SweepCalibrator setGlobalAmaxFrom(MaxCalibrator max) {
    return shared(max, () -> set(() -> handle.set_global_amax_from(MaxCalibrator.nativeOf(max))));
  }

  /**
   * Weights of the squared errors. Exclude a Hessian.
   *
   * @param weights positive and finite, [last dimension of x] or x's shape, copied; null: none
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, WRONG_STATE
   */
  public SweepCalibrator setWeights(Tensor weights) {
    return set(() -> handle.set_weights(weights));
  }

  /**
   * Searches with the errors r^T H r [ModelOpt NVFP4MSECalibrator with hessian]. Excludes weights.
   *
   * @param hessian float32 [cols / block, block, block], copied and part of the state; null: none
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, WRONG_STATE
   */
  public SweepCalibrator setHessian(Tensor hessian) {
    return set(() -> handle.set_hessian(hessian));
  }

  /**
   * Searches only the codes n + lo .. n + hi, n the code that {@link Method#MAX} gives. An approximation.
   *
   * @param lo -126 .. 126
   * @param hi lo .. 126; -126, 126 is the full search
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public SweepCalibrator setCodeWindow(int lo, int hi) {
    return set(() -> handle.set_code_window(lo, hi));
  }

  /**
   * The shape of the results, and of the amaxes that a quantize function is given [ModelOpt amax]. No result depends on
   * the values.
   *
   * @param amax finite and &gt;= 0, one a block of x in any shape (else collect is INVALID_ARGUMENT); copied, part
   *     of the state, kept by reset; null: none
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, WRONG_STATE
   */
  public SweepCalibrator setInitialAmax(Tensor amax) {
    return set(() -> handle.set_initial_amax(amax));
  }

  /**
   * The initial amax.
   *
   * @return float32, in its own shape
   * @throws NoDataException where none has been set
   */
  public Tensor initialAmax() {
    return result(handle::initial_amax);
  }

  /**
   * Quantizes with a function of the caller's. It is called for the codes 1 .. 126 in order, with the block amaxes
   * {@code G * (v / N)}. It is not part of exported states: the importing calibrator's own is used.
   *
   * @param function null: the library's own, E2M1 times the scale of the search
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public SweepCalibrator setQuantizeFunction(QuantizeFunction function) {
    NativeCallback callback = function == null ? null : NativeCallback.ofTensors(function::quantize);
    return set(
        () -> {
          handle.set_quantize_callback(NativeCallback.referenceOf(callback));
          quantizer = callback;
        });
  }

  /**
   * Errors by a function of the caller's, one an element, added up per block, times the weights if there are any. A
   * Hessian wins: the function is then not called. Not part of exported states.
   *
   * @param function null: squared errors
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public SweepCalibrator setErrorFunction(ErrorFunction function) {
    NativeCallback callback = function == null ? null : NativeCallback.ofTensors(function::errors);
    return set(
        () -> {
          handle.set_error_callback(new long[] {NativeCallback.referenceOf(callback), NativeConstants.ERRORS_ELEMENTS});
          errors = callback;
        });
  }

  /**
   * The block amaxes G * (v / N) of the chosen codes.
   *
   * @return float32, shaped as the initial amax if there is one, else as by {@link Nvfp4#scaleSweep(Tensor, Tensor,
   *     QuantizeOptions)}
   * @throws NoDataException before collect
   */
  public Tensor computeAmax() {
    return result(handle::compute_amax);
  }

  /**
   * The same into memory of the caller's.
   *
   * @param out float32, shaped as by {@link Nvfp4#scaleSweep(Tensor, Tensor, QuantizeOptions)}
   * @throws NoDataException before collect
   */
  public void computeAmax(Tensor out) {
    run(() -> handle.compute_amax(out));
  }

  /**
   * The chosen scale codes, 1 .. 126; 56, that is 1.0, where G = 0.
   *
   * @return E4M3, one a block
   * @throws NoDataException before collect
   */
  public Tensor computeCodes() {
    return call(() -> Tensor.resultOf(DType.E4M3, handle::compute_codes));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param out E4M3 or U8, one a block
   * @throws NoDataException before collect
   */
  public void computeCodes(Tensor out) {
    run(() -> handle.compute_codes(out));
  }

  /**
   * Always fails: a one-shot search has nothing to add up.
   *
   * @param other unchanged, with equal options
   * @return this
   * @throws Nvfp4calException UNSUPPORTED
   */
  public SweepCalibrator merge(SweepCalibrator other) {
    return mergeFrom(other, () -> handle.merge(other.handle));
  }
}
