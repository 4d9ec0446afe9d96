package io.nvfp4cal;

import java.util.function.Consumer;

/**
 * Threads, thread pool and CPU target that calls use. Nobody has to know it: null, wherever one is taken, means the
 * process-wide default ({@code NVFP4CAL_NUM_THREADS}, else all cores). Results do not depend on it. [nvfp4cal.h:
 * nvfp4cal_context]
 *
 * <p>One context may be passed to calls of several threads at once; its setters may not run meanwhile.
 *
 * @since 0.1
 */
public final class Context extends Handle {
  private final NativeContext handle;
  private NativeCallback runner;

  /** A context with the default settings. */
  public Context() {
    this(new NativeContext());
  }

  private Context(NativeContext handle) {
    super(handle::delete, handle::last_error);
    this.handle = handle;
  }

  /**
   * Sets the number of threads.
   *
   * @param threads 1 .. 1024, including the caller's; 0: the default
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT
   */
  public Context setThreads(int threads) {
    run(() -> handle.set_threads(threads));
    return this;
  }

  /**
   * Runs work on the caller's pool.
   *
   * @param runner null: the library's own pool again
   * @return this
   */
  public Context setRunner(Runner runner) {
    NativeCallback callback = NativeCallback.ofRunner(runner);
    run(
        () -> {
          handle.set_runner(NativeCallback.referenceOf(callback));
          this.runner = callback;
        });
    return this;
  }

  /**
   * Sets the instruction set. For tests and measurements: results do not depend on it.
   *
   * @param name one of {@link Library#cpuTargets}; null: the best one
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT
   */
  public Context setCpuTarget(String name) {
    run(() -> handle.set_cpu_target(name));
    return this;
  }

  /**
   * Takes all memory of CUDA devices from functions of the caller's instead of cudaMallocAsync: C functions, as
   * nvfp4cal_device_allocate and nvfp4cal_device_free of the C header say. They must exist as long as anything that uses
   * the context.
   *
   * @param allocate address of the function that gives memory; 0, like release: cudaMallocAsync
   * @param release address of the function that takes it back
   * @param user handed to both
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT
   */
  public Context setDeviceAllocator(long allocate, long release, long user) {
    run(() -> handle.set_device_allocator(new long[] {allocate, release, user}));
    return this;
  }

  /**
   * Functions of one call on device tensors keep their first failure in a tensor instead of waiting for it. Streams that
   * are being captured in a CUDA graph need this.
   *
   * @param status int64 [4] on a CUDA device, zeros at first, for calls on one stream at a time; null: calls wait
   * @return this
   * @throws Nvfp4calException INVALID_ARGUMENT, UNSUPPORTED
   */
  public Context setDeviceStatus(Tensor status) {
    run(() -> handle.set_device_status(status));
    return this;
  }

  /**
   * Waits for a stream. What the device status holds is thrown, and the status is empty again.
   *
   * @param stream a cudaStream_t as a number, 0: the default stream
   * @throws Nvfp4calException what the function itself would have thrown; WRONG_STATE without a device status
   */
  public void checkDeviceStatus(long stream) {
    run(() -> handle.check_device_status(stream));
  }

  /**
   * The number of threads that work uses.
   *
   * @return threads, including the caller's
   */
  public int threads() {
    return call(() -> threadsOf(handle));
  }

  /**
   * The same for the default context.
   *
   * @return threads, including the caller's
   */
  public static int defaultThreads() {
    return threadsOf(null);
  }

  private static int threadsOf(NativeContext handle) {
    int[] out = new int[1];
    NativeContext.threads(handle, out);
    return out[0];
  }

  NativeCallback runnerCallback() {
    return runner;
  }

  /** Calls with the context, which may be null. */
  static void with(Context context, Consumer<NativeContext> body) {
    shared(
        context,
        () -> {
          body.accept(nativeOf(context));
          return null;
        });
  }

  static NativeContext nativeOf(Context context) {
    return context == null ? null : context.handle;
  }
}
