package io.nvfp4cal;

/** Element type of a {@link Tensor}. [nvfp4cal.h: NVFP4CAL_DTYPE_*] */
public enum DType {
  /** IEEE binary32; Java's {@code float}. */
  F32(NativeConstants.DTYPE_F32, 4, ViewLayout.FLOATS),
  /** The upper half of a binary32, as the bits of a {@code short}. */
  BF16(NativeConstants.DTYPE_BF16, 2, ViewLayout.SHORTS),
  /** IEEE binary16, as the bits of a {@code short}. */
  F16(NativeConstants.DTYPE_F16, 2, ViewLayout.SHORTS),
  /** IEEE binary64; Java's {@code double}. As input it is rounded to float32 first. */
  F64(NativeConstants.DTYPE_F64, 8, ViewLayout.DOUBLES),
  /** A byte: packed nibbles, scale codes, exported states. */
  U8(NativeConstants.DTYPE_U8, 1, ViewLayout.BYTES),
  /** A signed byte: zero points. */
  I8(NativeConstants.DTYPE_I8, 1, ViewLayout.BYTES),
  /** FP8 E4M3FN, as the bits of a {@code byte}: block scales. */
  E4M3(NativeConstants.DTYPE_E4M3, 1, ViewLayout.BYTES),
  /** Counts in state arrays; no function takes it as x. */
  I64(NativeConstants.DTYPE_I64, 8, ViewLayout.LONGS);

  private final int code;
  private final int byteSize;
  /** Kind of the Java array that holds such elements. */
  final int arrayKind;

  DType(int code, int byteSize, int arrayKind) {
    this.code = code;
    this.byteSize = byteSize;
    this.arrayKind = arrayKind;
  }

  /**
   * The number that the C interface uses.
   *
   * @return DLPack's code | bits &lt;&lt; 8 | lanes &lt;&lt; 16
   */
  public int code() {
    return code;
  }

  /**
   * Size of one element.
   *
   * @return bytes
   */
  public int byteSize() {
    return byteSize;
  }

  static DType of(long code) {
    for (DType dtype : values()) {
      if (dtype.code == code) {
        return dtype;
      }
    }
    throw new IllegalArgumentException("unknown dtype 0x" + Long.toHexString(code));
  }

  /** Kind of an array of primitives. */
  static int arrayKindOf(Object array) {
    if (array instanceof byte[]) {
      return ViewLayout.BYTES;
    } else if (array instanceof short[]) {
      return ViewLayout.SHORTS;
    } else if (array instanceof float[]) {
      return ViewLayout.FLOATS;
    }
    return array instanceof double[] ? ViewLayout.DOUBLES : ViewLayout.LONGS;
  }

  /** The array for so many elements. */
  Object newArray(int length) {
    return switch (arrayKind) {
      case ViewLayout.BYTES -> new byte[length];
      case ViewLayout.SHORTS -> new short[length];
      case ViewLayout.FLOATS -> new float[length];
      case ViewLayout.DOUBLES -> new double[length];
      default -> new long[length];
    };
  }
}
