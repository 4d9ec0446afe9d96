package io.nvfp4cal;

import java.util.function.LongConsumer;

/**
 * A function of Java that the library calls. The native side knows it by a weak reference, so that a function that
 * refers to its own handle is no leak; the handle holds this object.
 */
final class NativeCallback {
  /** Quantization and error functions. */
  interface Tensors {
    void call(Tensor x, Tensor second, Tensor out) throws Exception;
  }

  private final Object function;
  private final long reference;

  private NativeCallback(Object function) {
    this.function = function;
    long created = Native.new_reference(this);
    reference = created;
    Handle.CLEANER.register(this, () -> Native.delete_reference(created));
  }

  static NativeCallback ofTensors(Tensors function) {
    return new NativeCallback(function);
  }

  /** Null for null. */
  static NativeCallback ofListener(ProgressListener function) {
    return function == null ? null : new NativeCallback(function);
  }

  /** Null for null. */
  static NativeCallback ofRunner(Runner function) {
    return function == null ? null : new NativeCallback(function);
  }

  /** What the native side gets, 0 for null. */
  static long referenceOf(NativeCallback callback) {
    return callback == null ? 0 : callback.reference;
  }

  // ---- called by the native layer ----

  private void onTensors(long[] x, long[] second, long[] out) throws Exception {
    Lease lease = new Lease(this, "during the callback");
    try {
      Tensor result = Tensor.ofView(out, lease, false);
      ((Tensors) function).call(Tensor.ofView(x, lease, true), Tensor.ofView(second, lease, true), result);
    } finally {
      lease.end();
    }
  }

  private void onProgress(long done, long total, byte[] name) throws Exception {
    ((ProgressListener) function).progress(done, total, Text.of(name));
  }

  private void onTasks(long job, long task, long n) throws Exception {
    try (Tasks tasks = new Tasks(job, task, n)) {
      ((Runner) function).run((LongConsumer) tasks, n);
    }
  }
}
