package io.nvfp4cal;

/** Where a Tensor's {@code view} keeps what; bindings/java/native/tensor_argument.h has the same names and numbers. */
final class ViewLayout {
  static final int KIND = 0;
  static final int OFFSET = 1;
  static final int SPAN_BEGIN = 2;
  static final int SPAN_LENGTH = 3;
  static final int DTYPE = 4;
  static final int DEVICE_TYPE = 5;
  static final int DEVICE_ID = 6;
  static final int FLAGS = 7;
  static final int NDIM = 8;
  static final int SHAPE = 9;
  static final int STRIDES = SHAPE + NativeConstants.MAX_NDIM;
  static final int LENGTH = STRIDES + NativeConstants.MAX_NDIM;
  /** Behind the view of a state array. */
  static final int REDUCE = LENGTH;

  /** The one flag: NVFP4CAL_TENSOR_HAS_STRIDES. */
  static final int STRIDED = 1;

  /** Values of KIND. */
  static final int ADDRESS = 0;
  static final int BUFFER = 1;
  static final int BYTES = 2;
  static final int SHORTS = 3;
  static final int FLOATS = 4;
  static final int DOUBLES = 5;
  static final int LONGS = 6;
  /** The native layer makes the array. */
  static final int QUERY = 7;
  /** Only the shape is wanted. */
  static final int QUESTION = 8;

  private ViewLayout() {}
}
