package io.nvfp4cal.golden;

import static io.nvfp4cal.golden.Outputs.answer;

import io.nvfp4cal.Context;
import io.nvfp4cal.DType;
import io.nvfp4cal.FloatFormat;
import io.nvfp4cal.MseCalibrator;
import io.nvfp4cal.Nvfp4;
import io.nvfp4cal.Nvfp4Blocks;
import io.nvfp4cal.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.function.IntToDoubleFunction;

/** casts: roundings through the functions that apply them with a scale of 1. */
final class CastCalls {
  private CastCalls() {}

  static Outputs call(Case one, Context context) {
    Values given = one.castInput();
    int n = given.elements();
    Tensor x = finiteBlocks(given).tensor();
    Tensor one1 = Tensor.of(new float[] {1});
    float[] tiesDown = answer(DType.F32, out -> Nvfp4Blocks.quantize(context, x, one1, -1, out, 0)).toFloatArray();
    return new Outputs()
        .add("e2m1", nibbles(context, x, n))
        .add("e2m1_ties_down", codes(tiesDown, 8, code -> SmallFloats.LEVELS[code], 8, n))
        .add("e4m3", codes(rounded(context, x, FloatFormat.E4M3, 448), 127, SmallFloats::e4m3, 0x80, n))
        .add("e5m2", codes(rounded(context, x, FloatFormat.E5M2, 57344), 124, SmallFloats::e5m2, 0x80, n));
  }

  /** NaN (no expectation) becomes 0, infinity the largest finite number; padded with zeros to blocks of 16. */
  private static Values finiteBlocks(Values x) {
    Values from = x.type().equals("F64") ? Values.ofFloats(x.floats()) : x;
    int blocks = (from.elements() + 15) / 16;
    boolean wide = from.elementSize() == 4;
    int infinity = wide ? 0x7F800000 : from.type().equals("BF16") ? 0x7F80 : 0x7C00;
    int sign = wide ? 0x80000000 : 0x8000;
    ByteBuffer in = ByteBuffer.wrap(from.bytes()).order(ByteOrder.LITTLE_ENDIAN);
    ByteBuffer out = ByteBuffer.allocate(blocks * 16 * from.elementSize()).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < from.elements(); i++) {
      int bits = wide ? in.getInt(4 * i) : in.getShort(2 * i) & 0xFFFF;
      int magnitude = bits & ~sign;
      int finite = magnitude > infinity ? 0 : magnitude == infinity ? bits - 1 : bits;
      if (wide) {
        out.putInt(4 * i, finite);
      } else {
        out.putShort(2 * i, (short) finite);
      }
    }
    return new Values(from.type(), new long[] {blocks, 16}, out.array());
  }

  private static Values nibbles(Context context, Tensor x, int n) {
    float[] amax = new float[(int) x.shape()[0]];
    Arrays.fill(amax, 6);
    Tensor scales = Tensor.unallocated(DType.U8);
    Tensor packed =
        answer(
            DType.U8,
            out -> Nvfp4.quantize(context, x, Tensor.of(new float[] {2688}), Tensor.of(amax), null, out, scales, null, 0));
    byte[] bytes = packed.toByteArray();
    byte[] codes = new byte[n];
    for (int i = 0; i < n; i++) {
      codes[i] = (byte) (bytes[i / 2] >> i % 2 * 4 & 15);
    }
    return Values.ofBytes(codes, n);
  }

  /** Codes of values that lie on an ascending grid of magnitudes; 255 for others. */
  private static Values codes(float[] values, int size, IntToDoubleFunction grid, int signBit, int n) {
    double[] magnitudes = new double[size];
    Arrays.setAll(magnitudes, grid);
    byte[] codes = new byte[n];
    for (int i = 0; i < n; i++) {
      int code = Arrays.binarySearch(magnitudes, Math.abs((double) values[i]));
      boolean negative = Float.floatToRawIntBits(values[i]) < 0;
      codes[i] = (byte) (code < 0 ? 255 : code | (negative ? signBit : 0));
    }
    return Values.ofBytes(codes, n);
  }

  /** What the multiplier search shows its error function when amax is the format's largest value: x rounded. */
  private static float[] rounded(Context context, Tensor x, FloatFormat format, float largest) {
    float[][] kept = new float[1][];
    try (MseCalibrator mse = new MseCalibrator()) {
      mse.setContext(context).setMultipliers(1, 1, 1).setFloatQuantizer(format);
      mse.setScalarErrorFunction(
          (given, quantized) -> {
            kept[0] = quantized.toFloatArray();
            return 0;
          });
      mse.setInitialAmax(Tensor.of(new float[] {largest}));
      mse.collect(x);
    }
    return kept[0];
  }
}
