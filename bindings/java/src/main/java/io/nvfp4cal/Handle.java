package io.nvfp4cal;

import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * A native object. {@link #close} frees it; one that is forgotten is freed some time after the garbage collector finds
 * it unreachable.
 *
 * <p>Threads: distinct handles are independent. One handle is used by one thread at a time: a call while another one
 * runs on the same handle, and a close meanwhile, is an {@link IllegalStateException}, as is any use after close.
 * {@link CheckpointJob#cancel} is the one call that may come at any time, and a {@link Context} may be passed to calls
 * of several threads at once.
 *
 * @since 0.1
 */
public abstract sealed class Handle implements AutoCloseable permits Calibrator, CheckpointJob, Context, Gptq {
  static final Cleaner CLEANER = Cleaner.create();

  private static final int IDLE = 0;
  private static final int EXCLUSIVE = -1;
  private static final int CLOSED = -2;

  /** IDLE, EXCLUSIVE, CLOSED, or the number of calls that share the handle. */
  private final AtomicInteger use = new AtomicInteger(IDLE);

  private final Cleaner.Cleanable cleanable;
  private final Supplier<String> lastErrorCall;

  /** Of the state array that was given out last; guarded by EXCLUSIVE. */
  private Lease lease;

  /** The context's thread pool, which the native object goes on using. */
  private NativeCallback runner;

  /** {@code destroy} must not refer to this object. */
  Handle(Runnable destroy, Supplier<String> lastErrorCall) {
    this.lastErrorCall = lastErrorCall;
    cleanable = CLEANER.register(this, destroy);
  }

  /**
   * Frees the native object. A second close does nothing.
   *
   * @throws IllegalStateException if a call runs on the handle
   */
  @Override
  public void close() {
    int seen = use.compareAndExchange(IDLE, CLOSED);
    if (seen == CLOSED) {
      return;
    }
    if (seen != IDLE) {
      throw refusal(seen);
    }
    endLease();
    cleanable.clean();
  }

  /**
   * The last failure of a call with this handle. [nvfp4cal_&lt;type&gt;_last_error]
   *
   * @return one line; empty before the first failure
   */
  public String lastError() {
    return call(lastErrorCall);
  }

  // ---- calls: nothing else may run on the handle, and it stays reachable until they return ----

  <T> T call(Supplier<T> body) {
    int seen = use.compareAndExchange(IDLE, EXCLUSIVE);
    if (seen != IDLE) {
      throw refusal(seen);
    }
    try {
      endLease();
      return body.get();
    } finally {
      use.set(IDLE);
      Reference.reachabilityFence(this);
    }
  }

  void run(Runnable body) {
    call(
        () -> {
          body.run();
          return null;
        });
  }

  /** A result whose shape the library tells, in a heap array. */
  Tensor result(Consumer<Tensor> body) {
    return call(() -> Tensor.resultOf(DType.F32, body));
  }

  /** As an argument of other handles' calls: may be shared, but not changed or closed meanwhile. Null is fine. */
  static <T> T shared(Handle handle, Supplier<T> body) {
    if (handle == null) {
      return body.get();
    }
    handle.share();
    try {
      return body.get();
    } finally {
      handle.unshare();
    }
  }

  /** Until {@link #unshare}, which comes in any case, there is no call on the handle and no close. */
  void share() {
    int users = use.get();
    while (users < 0 || !use.compareAndSet(users, users + 1)) {
      if (users < 0) {
        throw refusal(users);
      }
      users = use.get();
    }
  }

  void unshare() {
    use.decrementAndGet();
    Reference.reachabilityFence(this);
  }

  /** Takes over the context's settings. */
  void useContext(Context context, Consumer<NativeContext> setContext) {
    shared(
        context,
        () -> {
          run(
              () -> {
                setContext.accept(Context.nativeOf(context));
                runner = context == null ? null : context.runnerCallback();
              });
          return null;
        });
  }

  /** Lends memory of the native object until the next call. Within a call. */
  Lease lend() {
    lease = new Lease(this, "until the next call on its handle");
    return lease;
  }

  boolean isClosed() {
    return use.get() == CLOSED;
  }

  private void endLease() {
    if (lease != null) {
      lease.end();
      lease = null;
    }
  }

  private IllegalStateException refusal(int seen) {
    String what = getClass().getSimpleName();
    return new IllegalStateException(seen == CLOSED ? what + " is closed" : what + " is in use by another call");
  }
}
