package io.nvfp4cal;

import java.util.function.BiConsumer;

/**
 * Minima and maxima of groups of elements, found with or without a search over shrunken ranges, and the scales they
 * give [llm-compressor observers: MemorylessMSEObserver, MovingAverageMSEObserver, and the min-max ones].
 * docs/observer.md. [nvfp4cal.h: nvfp4cal_observer]
 *
 * <p>{@code collect} observes x: a weight is a matrix (any shape per tensor), an activation any shape (for TOKEN two
 * dimensions or more). Moving averages and static min-max need ranges of the same shape each time. Failures:
 * INVALID_ARGUMENT (shape), UNSUPPORTED (dtype, options that exclude each other), WRONG_STATE (no group size),
 * NOT_FINITE.
 *
 * @since 0.1
 */
public final class RangeObserver extends Calibrator<RangeObserver> {
  private final NativeObserver handle;

  /** Memoryless MSE, weight, INT8, symmetric, per tensor. */
  public RangeObserver() {
    this(new NativeObserver());
  }

  private RangeObserver(NativeObserver handle) {
    super(handle);
    this.handle = handle;
  }

  /**
   * What is kept.
   *
   * @param kind default {@link ObserverKind#MEMORYLESS_MSE}
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public RangeObserver setKind(ObserverKind kind) {
    return set(() -> handle.set_kind(kind.value));
  }

  /**
   * How the dimensions of x are read.
   *
   * @param observed default {@link Observed#WEIGHT}
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public RangeObserver setObserved(Observed observed) {
    return set(() -> handle.set_observed(observed.value));
  }

  /**
   * Numbers that the ranges are for.
   *
   * @param format default {@link ObserverFormat#INT8}
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public RangeObserver setFormat(ObserverFormat format) {
    return set(() -> handle.set_format(format.value));
  }

  /**
   * Whether the zero point is 0.
   *
   * @param enable default true; false: INT8 and INT4 only
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public RangeObserver setSymmetric(boolean enable) {
    return set(() -> handle.set_symmetric(enable ? 1 : 0));
  }

  /**
   * Which elements share a scale.
   *
   * @param strategy default {@link ObserverStrategy#TENSOR}
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public RangeObserver setStrategy(ObserverStrategy strategy) {
    return set(() -> handle.set_strategy(strategy.value));
  }

  /**
   * Columns of a group. Needed by GROUP and TENSOR_GROUP.
   *
   * @param groupSize 1 or more; divides the columns of x
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setGroupSize(int groupSize) {
    return set(() -> handle.set_group_size(groupSize));
  }

  /**
   * Rows and columns of a block. Needed by BLOCK.
   *
   * @param height 1 or more
   * @param width 1 or more
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setBlockStructure(int height, int width) {
    return set(() -> handle.set_block_structure(height, width));
  }

  /**
   * The group of each column of a weight: columns are taken in the order of these numbers (equal ones in their own
   * order), then cut into groups.
   *
   * @param groupIndex as many as x has columns; copied; none: columns in order
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setGroupIndex(int... groupIndex) {
    return set(() -> handle.set_g_idx(groupIndex));
  }

  /**
   * The search tries (int)(maxshrink * grid) ranges, factors expand * (1 - i / grid).
   *
   * @param maxshrink 0 .. 1, default 0.2
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setMaxshrink(double maxshrink) {
    return set(() -> handle.set_maxshrink(maxshrink));
  }

  /**
   * The search ends after this many steps in a row that improve no group of the tensor.
   *
   * @param patience 1 or more, default 5
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setPatience(int patience) {
    return set(() -> handle.set_patience(patience));
  }

  /**
   * Steps of the search, see {@link #setMaxshrink}.
   *
   * @param grid 1 .. 1e6, default 100
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setGrid(double grid) {
    return set(() -> handle.set_grid(grid));
  }

  /**
   * Exponent of the error, sum |fake(x) - x|^norm.
   *
   * @param norm 0.1 .. 16, default 2.4
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setNorm(double norm) {
    return set(() -> handle.set_norm(norm));
  }

  /**
   * The search starts from the range times this.
   *
   * @param expand 0.01 .. 100, default 1
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setExpand(double expand) {
    return set(() -> handle.set_expand(expand));
  }

  /**
   * Moving averages: new = old * (1 - c) + current * c in float32.
   *
   * @param constant c, 0 .. 1, default 0.01
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setAveragingConstant(double constant) {
    return set(() -> handle.set_averaging_constant(constant));
  }

  /**
   * TENSOR_GROUP: this global scale, with E4M3 scales, inside the search and in the results [llm-compressor until 0.9].
   *
   * @param globalScale 2688 / amax, positive; 0 (default): none
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, WRONG_STATE
   */
  public RangeObserver setGlobalScale(float globalScale) {
    return set(() -> handle.set_global_scale(globalScale));
  }

  /**
   * TENSOR_GROUP: first a search over the range of the whole tensor, with the global scale of each candidate; then as
   * with that global scale given [llm-compressor until 0.9].
   *
   * @param enable default false
   * @return this
   * @throws Nvfp4calException WRONG_STATE
   */
  public RangeObserver setOptimizeGlobalScale(boolean enable) {
    return set(() -> handle.set_optimize_global_scale(enable ? 1 : 0));
  }

  /**
   * The ranges; they need not include 0.
   *
   * @return float32 minima and maxima, shaped as {@link ObserverStrategy} says
   * @throws NoDataException before the first collect
   */
  public Range computeRange() {
    return range(handle::compute_range);
  }

  /**
   * The same into memory of the caller's.
   *
   * @param min float32, shaped as {@link ObserverStrategy} says
   * @param max the same
   * @throws NoDataException before the first collect
   */
  public void computeRange(Tensor min, Tensor max) {
    run(() -> handle.compute_range(min, max));
  }

  /**
   * The scales and zero points [compressed-tensors calculate_qparams].
   *
   * @return float32 scales (TENSOR_GROUP: E4M3 values, times 1 / global scale; never 0) and int8 zero points (0 if
   *     symmetric)
   * @throws NoDataException before the first collect
   */
  public ScaleAndZeroPoint computeScale() {
    Tensor scale = Tensor.unallocated(DType.F32);
    Tensor zeroPoint = Tensor.unallocated(DType.I8);
    run(() -> handle.compute_scale(scale, zeroPoint));
    return new ScaleAndZeroPoint(scale.result(), zeroPoint.result());
  }

  /**
   * The same into memory of the caller's.
   *
   * @param scale float32
   * @param zeroPoint int8; null: not wanted
   * @throws NoDataException before the first collect
   */
  public void computeScale(Tensor scale, Tensor zeroPoint) {
    run(() -> handle.compute_scale(scale, zeroPoint));
  }

  /**
   * The global scale 2688 / amax [compressed-tensors generate_gparam]; 1 where that is infinite.
   *
   * @return float32 [1]
   * @throws NoDataException before the first collect
   * @throws Nvfp4calException UNSUPPORTED unless TENSOR_GROUP
   */
  public Tensor computeGlobalScale() {
    return result(handle::compute_global_scale);
  }

  /**
   * The range that this tensor's own global scale comes from.
   *
   * @return float32 [1] each
   * @throws NoDataException before the first collect
   * @throws Nvfp4calException UNSUPPORTED unless TENSOR_GROUP
   */
  public Range computeGlobalRange() {
    return range(handle::compute_global_range);
  }

  private Range range(BiConsumer<Tensor, Tensor> compute) {
    Tensor min = Tensor.unallocated(DType.F32);
    Tensor max = Tensor.unallocated(DType.F32);
    run(() -> compute.accept(min, max));
    return new Range(min.result(), max.result());
  }

  /**
   * Gives layers that are multiplied as one (query, key and value; gate and up) the global scale of the widest of them,
   * until the next collect, merge or reset.
   *
   * @param observers distinct ones, all TENSOR_GROUP
   * @throws NoDataException if one of them has none
   * @throws Nvfp4calException INVALID_ARGUMENT, UNSUPPORTED, WRONG_STATE (a given global scale)
   */
  public static void fuse(RangeObserver... observers) {
    fuse(observers, 0);
  }

  /** All from {@code next} on are taken for the call, then it is made. */
  private static void fuse(RangeObserver[] observers, int next) {
    if (next < observers.length) {
      observers[next].run(() -> fuse(observers, next + 1));
      return;
    }
    long[] handles = new long[observers.length];
    for (int i = 0; i < handles.length; i++) {
      handles[i] = NativeObserver.getCPtr(observers[i].handle);
    }
    NativeObserver.fuse(handles);
  }

  /**
   * STATIC_MINMAX: as if this observer had seen both streams.
   *
   * @param other unchanged, with equal options
   * @return this
   * @throws Nvfp4calException UNSUPPORTED for other kinds: an average or the last call has nothing to add up
   */
  public RangeObserver merge(RangeObserver other) {
    return mergeFrom(other, () -> handle.merge(other.handle));
  }

  /**
   * STATIC_MINMAX: the data, to be reduced over processes in place. A fused global scale is dropped.
   *
   * @param index 0: the minima, {@link Reduction#MIN}; 1: the maxima, {@link Reduction#MAX}; float32, shaped as the
   *     ranges
   * @return a view that is valid until the next call on this observer
   * @throws NoDataException before the first collect
   * @throws Nvfp4calException UNSUPPORTED for other kinds, INVALID_ARGUMENT past the last array
   */
  public StateArray stateArray(int index) {
    return stateArray(index, handle::state_tensor);
  }
}
