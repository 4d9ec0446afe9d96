package io.nvfp4cal;

import static io.nvfp4cal.TestData.assertStatus;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.nvfp4cal.golden.SmallFloats;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** The one-call functions. What they compute is compared with the golden files; here with plain loops, and each kind of memory. */
class Nvfp4Test {
  private static final int ROWS = 8;
  private static final int COLS = 64;

  private final float[] values = TestData.normal(ROWS * COLS, 1);
  private final Tensor x = Tensor.of(values, ROWS, COLS);

  /** The same elements in other memory: direct buffer, address, strided, float64, in a larger array. */
  private Tensor[] elsewhere() {
    float[] transposed = new float[values.length];
    float[] framed = new float[values.length + 20];
    double[] doubles = new double[values.length];
    for (int i = 0; i < values.length; i++) {
      transposed[i % COLS * ROWS + i / COLS] = values[i];
      framed[10 + i] = values[i];
      doubles[i] = values[i];
    }
    long[] shape = {ROWS, COLS};
    Tensor direct = Tensor.of(DType.F32, TestData.direct(values), shape);
    return new Tensor[] {
      direct,
      Tensor.of(transposed, COLS, ROWS).view(0, shape, new long[] {1, ROWS}),
      Tensor.of(DType.F32, TestData.direct(transposed), COLS, ROWS).view(0, shape, new long[] {1, ROWS}),
      Tensor.of(framed).view(10, shape, null),
      Tensor.of(doubles, shape),
    };
  }

  @Test
  void candidates() {
    float[] found = Nvfp4.scaleCandidates(0).toFloatArray();
    assertEquals(126, found.length);
    for (int code = 1; code <= 126; code++) {
      assertEquals((float) SmallFloats.e4m3(code) / 448, found[code - 1]);
    }
    assertStatus(Status.INVALID_ARGUMENT, "normalization 7", () -> Nvfp4.scaleCandidates(7));
  }

  /** The least float64 error of all 126 codes. */
  @Test
  void sweepAgainstAllCodes() {
    float[] found = Nvfp4.scaleSweep(x, null, null).toFloatArray();
    assertEquals(ROWS * COLS / 16, found.length);
    float global = TestData.amax(values);
    for (int b = 0; b < found.length; b++) {
      double mine = error(b, found[b]);
      for (int code = 1; code <= 126; code++) {
        double other = error(b, global * ((float) SmallFloats.e4m3(code) / 448));
        assertTrue(mine <= other * (1 + 1e-6), "block " + b + ", code " + code);
      }
    }
  }

  private double error(int block, float amax) {
    double sum = 0;
    for (int i = 16 * block; i < 16 * block + 16; i++) {
      double magnitude = Math.abs((double) values[i]);
      double scale = amax / 6.0;
      double r = magnitude - scale * SmallFloats.level(magnitude / scale);
      sum += r * r;
    }
    return sum;
  }

  @Test
  void everyKindOfMemoryGivesTheSame() {
    QuantizeOptions mse = new QuantizeOptions().method(Method.MSE);
    float[] amax = Nvfp4.scaleSweep(x, null, null).toFloatArray();
    QuantizedTensor q = Nvfp4.quantize(x, mse);
    for (Tensor other : elsewhere()) {
      assertArrayEquals(amax, Nvfp4.scaleSweep(other, null, null).toFloatArray());
      QuantizedTensor p = Nvfp4.quantize(other, mse);
      assertArrayEquals(q.packed().toByteArray(), p.packed().toByteArray());
      assertArrayEquals(q.scales().toByteArray(), p.scales().toByteArray());
      assertArrayEquals(q.globalScale().toFloatArray(), p.globalScale().toFloatArray());
    }
    Tensor[] outputs = {
      Tensor.allocate(DType.F32, ROWS, COLS / 16),
      Tensor.allocateDirect(DType.F32, ROWS, COLS / 16),
      Tensor.allocate(DType.F32, 100).view(7, new long[] {ROWS, COLS / 16}, null)
    };
    for (Tensor out : outputs) {
      Nvfp4.scaleSweep(null, x, null, null, out, 0);
      assertArrayEquals(amax, out.toFloatArray());
    }
    // Around a view of an array nothing is written.
    float[] frame = outputs[2].view(-7, new long[] {100}, null).toFloatArray();
    assertEquals(0, frame[6]);
    assertEquals(amax[0], frame[7]);
    assertEquals(0, frame[7 + amax.length]);
  }

  @Test
  void quantizeAndDecode() {
    QuantizedTensor q = Nvfp4.quantize(x, null);
    assertArrayEquals(new long[] {ROWS, COLS / 2}, q.packed().shape());
    assertArrayEquals(new long[] {ROWS, COLS / 16}, q.scales().shape());
    assertArrayEquals(new long[0], q.globalScale().shape());
    float global = q.globalScale().toFloatArray()[0];
    assertEquals(TestData.amax(values) / 2688, global, 1e-9);
    byte[] packed = q.packed().toByteArray();
    float[] scales = q.scales().toFloatArray();
    float[] decoded = Nvfp4.dequantize(q).toFloatArray();
    for (int i = 0; i < decoded.length; i++) {
      int code = packed[i / 2] >> i % 2 * 4 & 15;
      float level = (float) (code < 8 ? SmallFloats.LEVELS[code] : -SmallFloats.LEVELS[code - 8]);
      assertEquals(level * (scales[i / 16] * global), decoded[i]);
    }
    assertArrayEquals(decoded, Nvfp4.fakeQuantize(x, null, null, null).toFloatArray());
    Tensor half = Nvfp4.dequantize(q.packed(), q.scales(), q.globalScale(), DecodeOrder.MODELOPT, DType.BF16);
    assertEquals(DType.BF16, half.dtype());
    assertEquals(decoded[5], half.toFloatArray()[5], Math.abs(decoded[5]) / 256);
    assertEquals(DType.F64, Nvfp4.fakeQuantize(elsewhere()[4], null, null, null).dtype());
  }

  @Test
  void inPlace() {
    float[] expected = Nvfp4.fakeQuantize(x, null, null, null).toFloatArray();
    float[] copy = values.clone();
    Tensor heap = Tensor.of(copy, ROWS, COLS);
    Nvfp4.fakeQuantize(null, heap, null, null, null, heap, 0);
    assertArrayEquals(expected, copy);
    Tensor direct = elsewhere()[0];
    Nvfp4.fakeQuantize(null, direct, null, null, null, direct, 0);
    assertArrayEquals(expected, direct.toFloatArray());
  }

  @Test
  void options() {
    Tensor weights = Tensor.of(new float[COLS]);
    assertStatus(Status.INVALID_ARGUMENT, "weights", () -> Nvfp4.scaleSweep(x, null, new QuantizeOptions().weights(weights)));
    float[] ones = new float[COLS];
    Arrays.fill(ones, 1);
    float[] plain = Nvfp4.scaleSweep(x, null, null).toFloatArray();
    assertArrayEquals(plain, Nvfp4.scaleSweep(x, null, new QuantizeOptions().weights(Tensor.of(ones))).toFloatArray());
    assertArrayEquals(plain, Nvfp4.scaleSweep(x, null, new QuantizeOptions().codeWindow(-126, 126)).toFloatArray());
    ones[0] = 1000;
    float[] weighed = Nvfp4.scaleSweep(x, null, new QuantizeOptions().weights(Tensor.of(ones))).toFloatArray();
    assertTrue(!Arrays.equals(plain, weighed));
    QuantizedTensor blocks32 = Nvfp4.quantize(x, new QuantizeOptions().blockSize(32).normalization(256));
    assertArrayEquals(new long[] {ROWS, COLS / 32}, blocks32.scales().shape());
    assertEquals(TestData.amax(values) / 1536, blocks32.globalScale().toFloatArray()[0], 1e-9);
    assertStatus(Status.INVALID_ARGUMENT, "17", () -> Nvfp4.quantize(x, new QuantizeOptions().blockSize(17)));
    // The method max as a window of one code.
    QuantizeOptions window = new QuantizeOptions().method(Method.MSE).codeWindow(0, 0);
    assertArrayEquals(Nvfp4.quantize(x, null).scales().toByteArray(), Nvfp4.quantize(x, window).scales().toByteArray());
  }

  @Test
  void givenAmaxes() {
    float global = TestData.amax(values) * 2;
    float[] amax = Nvfp4.scaleSweep(x, Tensor.scalar(global), null).toFloatArray();
    Tensor blockAmax = Tensor.of(amax);
    QuantizedTensor fixed = Nvfp4.quantize(x, Tensor.scalar(global), blockAmax, null);
    QuantizedTensor found = Nvfp4.quantize(x, Tensor.scalar(global), null, new QuantizeOptions().method(Method.MSE));
    assertArrayEquals(found.packed().toByteArray(), fixed.packed().toByteArray());
    assertArrayEquals(found.scales().toByteArray(), fixed.scales().toByteArray());
    // One global amax a matrix of a stack.
    Tensor stack = x.view(0, new long[] {2, ROWS / 2, COLS}, null);
    QuantizedTensor two = Nvfp4.quantize(stack, Tensor.of(new float[] {5, 6}), null, null);
    assertArrayEquals(new float[] {5f / 2688, 6f / 2688}, two.globalScale().toFloatArray(), 1e-9f);
  }

  @Test
  void hessian() {
    float[] h = new float[COLS / 16 * 256];
    for (int b = 0; b < COLS / 16; b++) {
      for (int i = 0; i < 16; i++) {
        h[b * 256 + i * 17] = 1;
      }
    }
    // The identity weighs all errors alike.
    Tensor identity = Tensor.of(h, COLS / 16, 16, 16);
    assertArrayEquals(
        Nvfp4.scaleSweep(x, null, null).toFloatArray(), Nvfp4.scaleSweepHessian(x, null, identity, null).toFloatArray());
    h[1] = 0.5f;
    assertStatus(Status.INVALID_ARGUMENT, "symmetric", () -> Nvfp4.scaleSweepHessian(x, null, identity, null));
  }

  @Test
  void tiles() {
    byte[] bytes = new byte[5 * 6];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) (i + 1);
    }
    Tensor scales = Tensor.of(DType.E4M3, bytes, 5, 6);
    Tensor tiles = Nvfp4.swizzleScales(scales);
    assertEquals(DType.E4M3, tiles.dtype());
    assertEquals(128 * 8, tiles.elements());
    // Row r, column c of a 128x4 tile lies at (r % 32) * 16 + r / 32 * 4 + c.
    assertEquals(bytes[2 * 6 + 3], tiles.toByteArray()[2 * 16 + 3]);
    assertEquals(bytes[4 * 6 + 5], tiles.toByteArray()[512 + 4 * 16 + 1]);
    assertArrayEquals(bytes, Nvfp4.unswizzleScales(tiles, 5, 6).toByteArray());
    QuantizedTensor swizzled = Nvfp4.quantize(x, new QuantizeOptions().scaleLayout(ScaleLayout.SWIZZLED));
    Tensor linear = Nvfp4.unswizzleScales(swizzled.scales(), ROWS, COLS / 16);
    assertArrayEquals(Nvfp4.quantize(x, null).scales().toByteArray(), linear.toByteArray());
  }

  @Test
  void errorsNameWhatIsWrong() {
    assertStatus(Status.INVALID_ARGUMENT, "40", () -> Nvfp4.quantize(Tensor.of(new float[80], 2, 40), null));
    assertStatus(Status.INVALID_ARGUMENT, "x is NULL", () -> Nvfp4.quantize(null, null));
    assertStatus(Status.INVALID_ARGUMENT, "x is NULL", () -> Nvfp4.fakeQuantize(null, null, null, null));
    assertStatus(Status.INVALID_ARGUMENT, "scales is NULL", () -> Nvfp4.swizzleScales(null));
    assertStatus(Status.UNSUPPORTED, "int64", () -> Nvfp4.scaleSweep(Tensor.allocate(DType.I64, 16), null, null));
    values[77] = Float.NaN;
    NotFiniteException e =
        (NotFiniteException) assertStatus(Status.NOT_FINITE, "x[77] is NaN", () -> Nvfp4.quantize(x, null));
    assertEquals("x[77] is NaN", Library.lastError());
    assertEquals("non-finite data", Status.name(e.status()));
    assertEquals("unknown status", Status.name(-1000));
    Tensor small = Tensor.allocate(DType.F32, 3);
    Tensor good = Tensor.of(TestData.normal(64, 2), 4, 16);
    assertStatus(
        Status.INVALID_ARGUMENT, "expected 4", () -> Nvfp4.scaleSweep(null, good, null, null, small, 0));
    assertStatus(
        Status.UNSUPPORTED,
        "contiguous",
        () -> Nvfp4.scaleSweep(null, good, null, null, Tensor.of(new float[8]).view(0, new long[] {4}, new long[] {2}), 0));
  }

  @Test
  void noElements() {
    QuantizedTensor q = Nvfp4.quantize(Tensor.of(new float[0], 0, 32), null);
    assertArrayEquals(new long[] {0, 16}, q.packed().shape());
    assertEquals(0, q.scales().elements());
    assertEquals(1, q.globalScale().toFloatArray()[0]);
  }
}
