package io.nvfp4cal;

/**
 * A result was asked of a calibrator that has collected nothing (or only zeros, where these do not count).
 *
 * @since 0.1
 */
public final class NoDataException extends Nvfp4calException {
  private static final long serialVersionUID = 1;

  NoDataException(String message, Throwable cause) {
    super(Status.NO_DATA, message, cause);
  }
}
