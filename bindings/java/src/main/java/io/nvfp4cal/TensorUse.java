package io.nvfp4cal;

/**
 * A tensor while it is an argument of a call. One that a handle lends keeps the handle as a shared argument would: what
 * runs meanwhile, a callback or another thread, can neither change nor close it. What the generated classes make, one
 * for each argument; {@link #end} comes in any case.
 */
final class TensorUse {
  private Lease held;

  /** Null is fine, here and below. */
  Tensor input(Tensor tensor) {
    if (tensor != null) {
      tensor.check();
      hold(tensor.lease);
    }
    return tensor;
  }

  Tensor output(Tensor tensor) {
    if (tensor != null) {
      tensor.checkWritable();
      hold(tensor.lease);
    }
    return tensor;
  }

  /** Its weights are the tensor. */
  QuantizeOptions options(QuantizeOptions options) {
    if (options != null) {
      input(options.weights());
    }
    return options;
  }

  void end() {
    if (held != null) {
      held.release();
      held = null;
    }
  }

  private void hold(Lease lease) {
    if (lease != null) {
      lease.hold();
      held = lease;
    }
  }
}
