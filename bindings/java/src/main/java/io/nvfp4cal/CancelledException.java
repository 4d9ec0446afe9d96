package io.nvfp4cal;

/**
 * A checkpoint run was stopped by {@link CheckpointJob#cancel}.
 *
 * @since 0.1
 */
public final class CancelledException extends Nvfp4calException {
  private static final long serialVersionUID = 1;

  CancelledException(String message, Throwable cause) {
    super(Status.CANCELLED, message, cause);
  }
}
