package io.nvfp4cal;

/**
 * How long a tensor of memory that the library owns may be used: during a callback, or until the handle's next call. It
 * holds on to the owner, so that the memory is not freed before.
 */
final class Lease {
  private final Object owner;
  private final String term;
  private volatile boolean ended;

  Lease(Object owner, String term) {
    this.owner = owner;
    this.term = term;
  }

  void end() {
    ended = true;
  }

  void check() {
    if (ended) {
      throw new IllegalStateException("the tensor is over: it was valid " + term);
    }
  }

  /** Keeps a handle that lends from calls and from close until {@link #release}; a callback's tensors end with it anyway. */
  void hold() {
    if (owner instanceof Handle handle) {
      handle.share();
      if (ended) { // between the caller's check and now
        handle.unshare();
        check();
      }
    }
  }

  void release() {
    if (owner instanceof Handle handle) {
      handle.unshare();
    }
  }

  @Override
  public String toString() {
    return owner + " " + term;
  }
}
