package io.nvfp4cal;

/**
 * A NaN or an infinity in the data; the message names the first one's flat index, or tensor and index in a checkpoint.
 *
 * @since 0.1
 */
public final class NotFiniteException extends Nvfp4calException {
  private static final long serialVersionUID = 1;

  NotFiniteException(String message, Throwable cause) {
    super(Status.NOT_FINITE, message, cause);
  }
}
