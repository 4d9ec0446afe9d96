package io.nvfp4cal;

/**
 * A call of the library failed. The message is the library's line, which names the value that was wrong; no output has
 * been written and every handle stays usable.
 *
 * <p>If a callback of Java threw, that is the cause. Misuse that this layer finds by itself (a closed handle, a tensor
 * that reaches outside its array) is an {@link IllegalStateException} or {@link IllegalArgumentException} instead.
 *
 * @since 0.1
 */
public class Nvfp4calException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** What the C function returned. */
  private final int status;

  Nvfp4calException(int status, String message, Throwable cause) {
    super(message, cause);
    this.status = status;
  }

  /**
   * What the C function returned.
   *
   * @return one of {@link Status}, or a number that a later release added
   */
  public int status() {
    return status;
  }

  /** Called by the native layer. */
  static Nvfp4calException create(int status, byte[] text, Throwable cause) {
    String message = Text.of(text);
    return switch (status) {
      case Status.NOT_FINITE -> new NotFiniteException(message, cause);
      case Status.NO_DATA -> new NoDataException(message, cause);
      case Status.CANCELLED -> new CancelledException(message, cause);
      case Status.CALLBACK -> new CallbackException(message, cause);
      default -> new Nvfp4calException(status, message, cause);
    };
  }
}
