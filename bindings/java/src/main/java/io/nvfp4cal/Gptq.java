package io.nvfp4cal;

/**
 * Weights to NVFP4 under a full Hessian of the layer's input: blocks are rounded one after the other, each at the scale
 * that leaves the least error after all later weights have made up for it. docs/gptq.md. [nvfp4cal.h: nvfp4cal_gptq]
 *
 * @since 0.1
 */
public final class Gptq extends Handle {
  private final NativeGptq handle;

  /** Damping 0.02, {@link GptqEffort#DEFAULT}, objectives not measured. */
  public Gptq() {
    this(new NativeGptq());
  }

  private Gptq(NativeGptq handle) {
    super(handle::delete, handle::last_error);
    this.handle = handle;
  }

  /**
   * Uses the context's threads, pool and CPU target from now on. The context may be closed at once.
   *
   * @param context null: the process-wide default
   * @return this
   */
  public Gptq setContext(Context context) {
    useContext(context, handle::set_context);
    return this;
  }

  /**
   * Adds this times the mean of the Hessian's diagonal to it.
   *
   * @param fraction &gt;= 0; default 0.02
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE once a Hessian is set
   */
  public Gptq setDamping(double fraction) {
    run(() -> handle.set_damping(fraction));
    return this;
  }

  /**
   * How much is tried.
   *
   * @param effort default {@link GptqEffort#DEFAULT}
   * @return this
   * @throws Nvfp4calException WRONG_STATE once a Hessian is set
   */
  public Gptq setEffort(GptqEffort effort) {
    run(() -> handle.set_effort(effort.value));
    return this;
  }

  /**
   * Measures the objectives of later calls of quantize, which takes a tenth to a half more time.
   *
   * @param enable default false
   * @return this
   */
  public Gptq setMeasureObjectives(boolean enable) {
    run(() -> handle.set_measure_objectives(enable ? 1 : 0));
    return this;
  }

  /**
   * Factors X^T X for the layers that share the input X. The accumulator's own damping and normalization are not used.
   *
   * @param hessian of layout {@link HessianLayout#FULL}, with data; not kept
   * @param cross float [cols, cols], X0^T X with X0 the same rows in the original model: weights are then moved to what
   *     is best for X0 w^T given X. null: X is X0
   * @return this
   * @throws NoDataException if nothing was collected
   * @throws Nvfp4calException INVALID_ARGUMENT (also: not positive definite, the column is named), UNSUPPORTED,
   *     NOT_FINITE, WRONG_STATE (reset first)
   */
  public Gptq setHessian(HessianAccumulator hessian, Tensor cross) {
    return shared(
        hessian,
        () -> {
          run(() -> handle.set_hessian(HessianAccumulator.nativeOf(hessian), cross));
          return this;
        });
  }

  /**
   * The same from a tensor.
   *
   * @param hessian symmetric, [cols, cols], or [slices, cols, cols] for a stack of weights; not kept
   * @param cross of hessian's shape, or null
   * @return this
   * @throws Nvfp4calException as {@link #setHessian(HessianAccumulator, Tensor)}
   */
  public Gptq setHessian(Tensor hessian, Tensor cross) {
    run(() -> handle.set_hessian_tensor(hessian, cross));
    return this;
  }

  /**
   * Quantizes a layer's weights, or a stack of them.
   *
   * @param x [rows, cols] or [slices, rows, cols]
   * @param globalAmax float32, one or one a slice, which a fused group shares; null: the amax of each matrix (after the
   *     move that a cross term makes)
   * @return nibbles, linear scales and the global scales
   * @throws NoDataException without a Hessian
   * @throws Nvfp4calException INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE
   */
  public QuantizedTensor quantize(Tensor x, Tensor globalAmax) {
    Tensor packed = Tensor.unallocated(DType.U8);
    Tensor scales = Tensor.unallocated(DType.E4M3);
    Tensor globalScale = Tensor.unallocated(DType.F32);
    quantize(x, globalAmax, packed, scales, globalScale, null, null, 0);
    return new QuantizedTensor(packed.result(), scales.result(), globalScale.result());
  }

  /**
   * The same into memory of the caller's.
   *
   * @param x see {@link #quantize(Tensor, Tensor)}
   * @param globalAmax null: the amax of each matrix
   * @param packed U8 [..., cols / 2]
   * @param scales E4M3 or U8 [..., cols / 16]
   * @param globalScale float32, one a matrix; null: not wanted
   * @param usedAmax float32, the global amaxes used; null: not wanted
   * @param dequantized float, x's shape: the decoded weights; null: not wanted
   * @param stream CUDA stream
   */
  public void quantize(
      Tensor x,
      Tensor globalAmax,
      Tensor packed,
      Tensor scales,
      Tensor globalScale,
      Tensor usedAmax,
      Tensor dequantized,
      long stream) {
    run(() -> handle.quantize(x, globalAmax, packed, scales, globalScale, usedAmax, dequantized, stream));
  }

  /**
   * What the last call of quantize reached, all slices together.
   *
   * @return objectives after each stage
   * @throws NoDataException if it was not measured
   */
  public GptqObjectives computeObjectives() {
    return call(
        () -> {
          long[] bits = new long[GptqObjectives.LENGTH];
          handle.compute_objectives(bits);
          return GptqObjectives.of(bits);
        });
  }

  /** Drops the Hessian, keeps the options. */
  public void reset() {
    run(handle::reset);
  }
}
