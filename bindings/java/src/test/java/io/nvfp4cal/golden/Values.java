package io.nvfp4cal.golden;

import io.nvfp4cal.DType;
import io.nvfp4cal.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Map;
import java.util.function.IntToDoubleFunction;

/**
 * A tensor of a file, or an output of the library.
 *
 * @param type name of the dtype in safetensors files
 * @param bytes elements, row-major, little-endian
 */
record Values(String type, long[] shape, byte[] bytes) {
  private static final Map<DType, String> TYPES =
      Map.of(
          DType.F64, "F64", DType.F32, "F32", DType.BF16, "BF16", DType.F16, "F16", DType.I64, "I64", DType.I8, "I8",
          DType.U8, "U8", DType.E4M3, "U8");

  /** An output. Scales are compared as bytes. */
  static Values of(Tensor tensor) {
    int size = tensor.dtype().byteSize();
    ByteBuffer bytes = little(new byte[(int) tensor.elements() * size]);
    switch (tensor.dtype()) {
      case F64 -> bytes.asDoubleBuffer().put(tensor.toDoubleArray());
      case F32 -> bytes.asFloatBuffer().put(tensor.toFloatArray());
      case BF16, F16 -> bytes.asShortBuffer().put(tensor.toShortArray());
      case I64 -> bytes.asLongBuffer().put(tensor.toLongArray());
      default -> bytes.put(tensor.toByteArray());
    }
    return new Values(TYPES.get(tensor.dtype()), tensor.shape(), bytes.array());
  }

  static Values ofFloats(float[] values, long... shape) {
    return of(Tensor.of(values, shape));
  }

  static Values ofDoubles(double[] values, long... shape) {
    return of(Tensor.of(values, shape));
  }

  static Values ofBytes(byte[] values, long... shape) {
    return new Values("U8", shape, values);
  }

  private static ByteBuffer little(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  int elementSize() {
    return switch (type) {
      case "F64", "I64" -> 8;
      case "F32", "I32" -> 4;
      case "F16", "BF16" -> 2;
      case "U8", "I8", "F8_E4M3" -> 1;
      default -> throw new IllegalArgumentException("golden tensor of dtype " + type);
    };
  }

  int elements() {
    return bytes.length / elementSize();
  }

  boolean isF32() {
    return type.equals("F32");
  }

  /** In a direct buffer, which the library reads where it lies. */
  Tensor tensor() {
    DType dtype = type.equals("F8_E4M3") ? DType.E4M3 : DType.valueOf(type);
    ByteBuffer direct = ByteBuffer.allocateDirect(bytes.length).order(ByteOrder.nativeOrder());
    direct.put(bytes).flip();
    return shape.length == 0 ? Tensor.of(dtype, direct, 1).view(0, shape, null) : Tensor.of(dtype, direct, shape);
  }

  double[] numbers() {
    ByteBuffer b = little(bytes);
    IntToDoubleFunction number =
        switch (type) {
          case "F64" -> i -> b.getDouble(8 * i);
          case "F32" -> i -> b.getFloat(4 * i);
          case "BF16" -> i -> Float.intBitsToFloat(b.getShort(2 * i) << 16);
          case "F16" -> i -> SmallFloats.float16(b.getShort(2 * i) & 0xFFFF);
          case "I64" -> i -> b.getLong(8 * i);
          case "I32" -> i -> b.getInt(4 * i);
          case "I8" -> i -> b.get(i);
          default -> i -> b.get(i) & 0xFF;
        };
    double[] out = new double[elements()];
    Arrays.setAll(out, number);
    return out;
  }

  /** Each element rounded to float32. */
  float[] floats() {
    double[] numbers = numbers();
    float[] out = new float[numbers.length];
    for (int i = 0; i < out.length; i++) {
      out[i] = (float) numbers[i];
    }
    return out;
  }

  /** One-byte elements as 0 .. 255. */
  int[] codes() {
    if (elementSize() != 1) {
      throw new IllegalArgumentException("codes of dtype " + type);
    }
    int[] out = new int[bytes.length];
    Arrays.setAll(out, i -> bytes[i] & 0xFF);
    return out;
  }

  Values reshaped(long... newShape) {
    return new Values(type, newShape, bytes);
  }

  boolean sameBits(Values other) {
    return Arrays.equals(bytes, other.bytes);
  }

  /** Extents of 1 aside; a flat tensor fits every shape of as many elements. */
  boolean fits(Values other) {
    long[] a = Arrays.stream(shape).filter(extent -> extent != 1).toArray();
    long[] b = Arrays.stream(other.shape).filter(extent -> extent != 1).toArray();
    return elements() == other.elements() && (Arrays.equals(a, b) || a.length <= 1 || b.length <= 1);
  }
}
