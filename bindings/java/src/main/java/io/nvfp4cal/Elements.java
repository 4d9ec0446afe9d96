package io.nvfp4cal;

import java.nio.ByteBuffer;

/** Elements of a tensor as Java values, wherever they lie. */
final class Elements {
  private Elements() {}

  /** Value of the element that lies so many elements behind the lowest one. */
  interface Reader {
    double at(int index);
  }

  static Reader reader(DType dtype, Object array, int begin) {
    return switch (dtype) {
      case F32 -> i -> ((float[]) array)[begin + i];
      case F64 -> i -> ((double[]) array)[begin + i];
      case BF16 -> i -> bfloat16(((short[]) array)[begin + i]);
      case F16 -> i -> float16(((short[]) array)[begin + i]);
      case U8 -> i -> ((byte[]) array)[begin + i] & 0xFF;
      case I8 -> i -> ((byte[]) array)[begin + i];
      case E4M3 -> i -> e4m3(((byte[]) array)[begin + i]);
      case I64 -> i -> ((long[]) array)[begin + i];
    };
  }

  /** The same from bytes in native order. */
  static Reader reader(DType dtype, ByteBuffer buffer) {
    return switch (dtype) {
      case F32 -> i -> buffer.getFloat(4 * i);
      case F64 -> i -> buffer.getDouble(8 * i);
      case BF16 -> i -> bfloat16(buffer.getShort(2 * i));
      case F16 -> i -> float16(buffer.getShort(2 * i));
      case U8 -> i -> buffer.get(i) & 0xFF;
      case I8 -> i -> buffer.get(i);
      case E4M3 -> i -> e4m3(buffer.get(i));
      case I64 -> i -> buffer.getLong(8 * i);
    };
  }

  /** Copies the bytes, in native order, into an array of the dtype's own kind. */
  static void get(DType dtype, Object array, ByteBuffer bytes) {
    switch (dtype.arrayKind) {
      case ViewLayout.BYTES -> bytes.get((byte[]) array);
      case ViewLayout.SHORTS -> bytes.asShortBuffer().get((short[]) array);
      case ViewLayout.FLOATS -> bytes.asFloatBuffer().get((float[]) array);
      case ViewLayout.DOUBLES -> bytes.asDoubleBuffer().get((double[]) array);
      default -> bytes.asLongBuffer().get((long[]) array);
    }
  }

  /** The other way. */
  static void put(DType dtype, Object array, ByteBuffer bytes) {
    switch (dtype.arrayKind) {
      case ViewLayout.BYTES -> bytes.put((byte[]) array);
      case ViewLayout.SHORTS -> bytes.asShortBuffer().put((short[]) array);
      case ViewLayout.FLOATS -> bytes.asFloatBuffer().put((float[]) array);
      case ViewLayout.DOUBLES -> bytes.asDoubleBuffer().put((double[]) array);
      default -> bytes.asLongBuffer().put((long[]) array);
    }
  }

  static float bfloat16(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  static float float16(short bits) {
    return small(bits & 0x7FFF, 5, 10, 0x7C00, bits < 0);
  }

  static float e4m3(byte bits) {
    int magnitude = bits & 0x7F;
    return magnitude == 0x7F ? Float.NaN : small(magnitude, 4, 3, 0x80, bits < 0);
  }

  /** A float of so many bits of exponent and mantissa; magnitudes from {@code infinity} on are infinity and NaN. */
  private static float small(int magnitude, int exponentBits, int mantissaBits, int infinity, boolean negative) {
    int bias = (1 << (exponentBits - 1)) - 1;
    int exponent = magnitude >> mantissaBits;
    int mantissa = magnitude & ((1 << mantissaBits) - 1);
    float value;
    if (magnitude >= infinity) {
      value = magnitude == infinity ? Float.POSITIVE_INFINITY : Float.NaN;
    } else if (exponent == 0) {
      value = Math.scalb((float) mantissa, 1 - bias - mantissaBits);
    } else {
      value = Math.scalb((float) (mantissa | 1 << mantissaBits), exponent - bias - mantissaBits);
    }
    return negative ? -value : value;
  }
}
