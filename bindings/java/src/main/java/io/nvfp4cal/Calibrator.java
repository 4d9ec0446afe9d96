package io.nvfp4cal;

/**
 * What all calibrators have in common: they are created with defaults, take options, see many tensors, and then give a
 * result.
 *
 * <p>Options are set before the first collect (afterwards: status WRONG_STATE). Setters return the calibrator itself. A
 * call that fails leaves it as it was. The thread rule is that of {@link Handle}.
 *
 * @param <T> the calibrator itself
 * @since 0.1
 */
public abstract sealed class Calibrator<T extends Calibrator<T>> extends Handle
    permits ActMaxCalibrator, HessianAccumulator, MaxCalibrator, MseCalibrator, RangeObserver, SweepCalibrator {

  /** A state_tensor function: fills in a view and, behind it, the reduction. */
  interface State {
    void accept(int index, long[] view);
  }

  private final NativeCalibrator handle;

  Calibrator(NativeCalibrator handle) {
    super(handle::delete, handle::last_error);
    this.handle = handle;
  }

  @SuppressWarnings("unchecked")
  private T self() {
    return (T) this;
  }

  T set(Runnable setter) {
    run(setter);
    return self();
  }

  /**
   * Uses the context's threads, pool and CPU target from now on. The context may be closed at once.
   *
   * @param context null: the process-wide default
   * @return this
   */
  public T setContext(Context context) {
    useContext(context, handle::set_context);
    return self();
  }

  /**
   * Takes in one tensor. See the calibrator for what it does, shapes and failures.
   *
   * @param x float32, bfloat16, float16 or float64, any strides; not kept
   * @throws Nvfp4calException with the calibrator as it was
   */
  public void collect(Tensor x) {
    collect(x, 0);
  }

  /**
   * Takes in one tensor, on a CUDA stream if it is on a device.
   *
   * @param x as for {@link #collect(Tensor)}
   * @param stream a cudaStream_t as a number, 0: the default stream; host tensors ignore it
   * @throws Nvfp4calException with the calibrator as it was
   */
  public void collect(Tensor x, long stream) {
    run(() -> handle.collect(x, stream));
  }

  T mergeFrom(T other, Runnable merge) {
    return other == this ? set(merge) : shared(other, () -> set(merge));
  }

  /**
   * Options and data as bytes with a version and a checksum, to be kept or sent to another process.
   *
   * @return a new array
   * @throws Nvfp4calException UNSUPPORTED for more than 2 GiB: see {@link #exportState(Tensor)}
   */
  public byte[] exportState() {
    return call(() -> Tensor.resultOf(DType.U8, handle::export_state)).toByteArray();
  }

  /**
   * Number of bytes that {@link #exportState(Tensor)} writes.
   *
   * @return bytes
   */
  public long exportStateSize() {
    return call(
        () -> {
          Tensor question = Tensor.question(DType.U8);
          handle.export_state(question);
          return question.answeredShape()[0];
        });
  }

  /**
   * The state, written to memory of the caller's.
   *
   * @param out U8, {@link #exportStateSize} elements
   */
  public void exportState(Tensor out) {
    run(() -> handle.export_state(out));
  }

  /**
   * Replaces options and data by those of an exported state.
   *
   * @param state from {@link #exportState()} of this or an older release
   * @throws Nvfp4calException CORRUPT, naming what does not fit; the calibrator is then as before
   */
  public void importState(byte[] state) {
    importState(Tensor.of(DType.U8, state));
  }

  /**
   * The same from a tensor.
   *
   * @param state U8, one dimension
   * @throws Nvfp4calException CORRUPT, naming what does not fit; the calibrator is then as before
   */
  public void importState(Tensor state) {
    run(() -> handle.import_state(state));
  }

  StateArray stateArray(int index, State state) {
    return call(
        () -> {
          long[] view = new long[ViewLayout.LENGTH + 1];
          state.accept(index, view);
          return new StateArray(Tensor.ofView(view, lend(), false), Reduction.of(view[ViewLayout.REDUCE]));
        });
  }

  /** Drops what was collected, keeps the options. */
  public void reset() {
    run(handle::reset);
  }
}
