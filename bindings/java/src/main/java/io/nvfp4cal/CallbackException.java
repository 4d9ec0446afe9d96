package io.nvfp4cal;

/**
 * A callback or a thread pool of the caller failed. What it threw is the cause.
 *
 * @since 0.1
 */
public final class CallbackException extends Nvfp4calException {
  private static final long serialVersionUID = 1;

  CallbackException(String message, Throwable cause) {
    super(Status.CALLBACK, message, cause);
  }
}
