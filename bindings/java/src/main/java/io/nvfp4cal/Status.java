package io.nvfp4cal;

/**
 * What a function of the C interface returns: 0 or one of these negative numbers. Later releases may add some: treat an
 * unknown one as an error. [nvfp4cal.h: nvfp4cal_status]
 */
public final class Status {
  /** Success. */
  public static final int OK = NativeConstants.OK;
  /** A defect of the library. */
  public static final int INTERNAL = NativeConstants.ERROR_INTERNAL;
  /** A value, shape or address that makes no sense. */
  public static final int INVALID_ARGUMENT = NativeConstants.ERROR_INVALID_ARGUMENT;
  /** A dtype, layout or operation that this function does not take. */
  public static final int UNSUPPORTED = NativeConstants.ERROR_UNSUPPORTED;
  /** Not now: an option after data, a result before data, a second one-shot collect. */
  public static final int WRONG_STATE = NativeConstants.ERROR_WRONG_STATE;
  /** Nothing has been collected. */
  public static final int NO_DATA = NativeConstants.ERROR_NO_DATA;
  /** Native memory is used up. */
  public static final int OUT_OF_MEMORY = NativeConstants.ERROR_OUT_OF_MEMORY;
  /** NaN or infinity in the data. */
  public static final int NOT_FINITE = NativeConstants.ERROR_NOT_FINITE;
  /** The operating system refused a file operation. */
  public static final int IO = NativeConstants.ERROR_IO;
  /** A file or state that is damaged or not of the expected kind. */
  public static final int CORRUPT = NativeConstants.ERROR_CORRUPT;
  /** A device tensor without the CUDA module or a device. */
  public static final int CUDA_UNAVAILABLE = NativeConstants.ERROR_CUDA_UNAVAILABLE;
  /** An error of CUDA. */
  public static final int CUDA = NativeConstants.ERROR_CUDA;
  /** A module of another release. */
  public static final int BACKEND_VERSION = NativeConstants.ERROR_BACKEND_VERSION;
  /** Cancelled by the caller. */
  public static final int CANCELLED = NativeConstants.ERROR_CANCELLED;
  /** A callback or runner of the caller failed. */
  public static final int CALLBACK = NativeConstants.ERROR_CALLBACK;

  private Status() {}

  /**
   * Short name of a status, "invalid argument"; "unknown status" for others. [nvfp4cal_status_string]
   *
   * @param status any number
   * @return its name
   */
  public static String name(int status) {
    return Native.status_string(status);
  }
}
