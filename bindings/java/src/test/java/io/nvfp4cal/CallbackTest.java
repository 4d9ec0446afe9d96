package io.nvfp4cal;

import static io.nvfp4cal.TestData.assertMessage;
import static io.nvfp4cal.TestData.assertStatus;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.nvfp4cal.golden.SmallFloats;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** Functions of Java that the library calls, and what they throw. */
class CallbackTest {
  private final float[] values = TestData.normal(256, 5);
  private final Tensor x = Tensor.of(values, 4, 64);

  /** INT8, as setIntQuantizer(8, SYMMETRIC) has it. */
  private static void int8(Tensor x, Tensor amax, Tensor out) {
    float scale = 127 / amax.toFloatArray()[0];
    float[] q = x.toFloatArray();
    for (int i = 0; i < q.length; i++) {
      q[i] = (float) Math.max(-127, Math.min(127, Math.rint(q[i] * scale))) / scale;
    }
    out.set(q);
  }

  private MseCalibrator mse() {
    return new MseCalibrator().setInitialAmax(Tensor.scalar(TestData.amax(values)));
  }

  @Test
  void quantizeFunctionEqualsTheBuiltInOne() {
    try (MseCalibrator mine = mse().setQuantizeFunction(CallbackTest::int8);
        MseCalibrator builtIn = mse().setIntQuantizer(8, IntRange.SYMMETRIC)) {
      mine.collect(x);
      builtIn.collect(x);
      assertArrayEquals(builtIn.losses().toDoubleArray(), mine.losses().toDoubleArray());
      assertArrayEquals(builtIn.computeAmax().toFloatArray(), mine.computeAmax().toFloatArray());
    }
  }

  /** Strides and dtype of x are as collected; memory is shown, not copied, where it is direct. */
  @Test
  void whatAFunctionSees() {
    Tensor direct = Tensor.allocateDirect(DType.F32, 64, 4);
    direct.set(values);
    Tensor transposed = direct.view(0, new long[] {4, 64}, new long[] {1, 4});
    List<Tensor> kept = new ArrayList<>();
    try (MseCalibrator one = mse().setMultipliers(1, 1, 1)) {
      one.setQuantizeFunction(
          (given, amax, out) -> {
            kept.addAll(List.of(given, amax, out));
            assertArrayEquals(new long[] {1, 4}, given.strides());
            assertArrayEquals(transposed.toFloatArray(), given.toFloatArray());
            assertArrayEquals(new long[0], amax.shape());
            assertArrayEquals(new long[] {4, 64}, out.shape());
            assertTrue(out.isContiguous());
            assertMessage(IllegalStateException.class, "read-only", () -> amax.set(new float[1]));
            assertTrue(amax.buffer().isReadOnly());
            out.buffer().asFloatBuffer().put(given.toFloatArray());
          });
      one.collect(transposed);
      assertEquals(0, one.losses().toDoubleArray()[0]);
      assertEquals(3, kept.size());
      for (Tensor ended : kept) {
        assertMessage(IllegalStateException.class, "during the callback", ended::toFloatArray);
        assertMessage(IllegalStateException.class, "during the callback", () -> Nvfp4.quantize(ended, null));
      }
    }
  }

  /** What the library lends has bounds, as arrays have: from the lowest element to the highest, whatever the strides. */
  @Test
  void viewsStayInsideWhatIsLent() {
    Tensor backwards = x.view(254, new long[] {2, 64}, new long[] {-64, -2});
    int[] calls = {0};
    try (MseCalibrator one = mse().setMultipliers(1, 1, 1)) {
      one.setQuantizeFunction(
          (given, amax, out) -> {
            calls[0]++;
            assertArrayEquals(new float[] {values[254], values[253]}, given.view(0, new long[] {2}, new long[] {-1}).toFloatArray());
            Tensor lowest = given.view(-190, new long[] {191}, null);
            assertEquals(values[64], lowest.toFloatArray()[0]);
            assertArrayEquals(given.toFloatArray(), lowest.view(190, given.shape(), given.strides()).toFloatArray());
            assertMessage(
                IllegalArgumentException.class, "around number 190 of 191", () -> given.view(0, new long[] {2}, null));
            assertMessage(
                IllegalArgumentException.class, "around number -1 of 191", () -> given.view(-191, new long[] {2}, null));
            assertMessage(
                IllegalArgumentException.class, "has 129 elements, the memory 128", () -> out.view(0, new long[] {129}, null));
            assertMessage(
                IllegalArgumentException.class, "of 128", () -> out.view(1L << 40, new long[] {4}, null).toFloatArray());
            assertThrows(IllegalArgumentException.class, () -> out.view(Long.MIN_VALUE / 4, new long[] {1}, null));
            assertThrows(IllegalArgumentException.class, () -> out.view(-1, new long[] {1}, null));
            assertMessage(IllegalArgumentException.class, "shape [2] has 2 elements, the memory 1", () -> amax.view(0, new long[] {2}, null));
            assertEquals(0, out.view(500, new long[] {0}, null).elements());
            out.view(0, new long[] {128}, null).set(given.toFloatArray());
          });
      one.collect(backwards);
      assertEquals(1, calls[0]);
      assertEquals(0, one.losses().toDoubleArray()[0]);
    }
    try (HessianAccumulator sums = new HessianAccumulator().setLayout(HessianLayout.DIAGONAL)) {
      sums.collect(x);
      Tensor state = sums.stateArray(0).tensor();
      assertEquals(1, state.view(63, new long[] {1}, null).elements());
      assertMessage(IllegalArgumentException.class, "around number 63 of 64", () -> state.view(63, new long[] {2}, null));
    }
  }

  private static void assertInUse(Calibrator<?> lender) {
    String message = lender.getClass().getSimpleName() + " is in use by another call";
    assertMessage(IllegalStateException.class, message, lender::close);
    assertMessage(IllegalStateException.class, message, lender::reset);
    assertMessage(IllegalStateException.class, message, lender::lastError);
  }

  /** A handle whose memory a call reads is not changed or closed meanwhile, and is let go in any case. */
  @Test
  void lendersAreInUse() {
    HessianAccumulator lender = new HessianAccumulator().setLayout(HessianLayout.DIAGONAL);
    lender.collect(x);
    try (MseCalibrator one = mse().setMultipliers(1, 1, 1);
        MaxCalibrator max = new MaxCalibrator()) {
      max.collect(x);
      Tensor state = lender.stateArray(0).tensor();
      int[] calls = {0};
      one.setQuantizeFunction(
          (given, amax, out) -> {
            calls[0]++;
            assertInUse(lender);
            // Others may read it, too.
            max.merge(readBy(state));
            out.set(given.toFloatArray());
          });
      one.collect(state);
      one.collect(state.view(32, new long[] {32}, null));
      assertEquals(2, calls[0]);
      one.reset();
      one.setInitialAmax(Tensor.scalar(1))
          .setQuantizeFunction(
              (given, amax, out) -> {
                assertInUse(lender);
                throw new IOException();
              });
      Throwable cause = assertThrows(CallbackException.class, () -> one.collect(state)).getCause();
      assertTrue(cause instanceof IOException, cause.toString());
      // Refused at an argument behind it.
      Tensor ended = max.stateArray(0).tensor();
      max.lastError();
      Tensor out = Tensor.unallocated(DType.F32);
      assertMessage(IllegalStateException.class, "is over", () -> Nvfp4.scaleSweep(null, state, ended, null, out, 0));
      assertEquals(4, lender.rows());
      assertMessage(IllegalStateException.class, "is over", () -> one.collect(state));
    }
    lender.close();
  }

  private static MaxCalibrator readBy(Tensor x) {
    MaxCalibrator max = new MaxCalibrator();
    max.collect(x);
    return max;
  }

  /** The same for what the call writes, and for weights within options. */
  @Test
  void lendersOfOutputsAndWeightsAreInUse() {
    Tensor large = TestData.matrix(512, 512, 11);
    MaxCalibrator weights = new MaxCalibrator().setAxes(0, 1);
    MaxCalibrator result = new MaxCalibrator().setAxes(0, 1);
    weights.collect(large);
    result.collect(large);
    int[] runs = {0};
    try (Context context = new Context().setThreads(2)) {
      context.setRunner(
          (task, n) -> {
            runs[0]++;
            assertInUse(weights);
            assertInUse(result);
            LongStream.range(0, n).forEach(task);
          });
      QuantizeOptions options = new QuantizeOptions().method(Method.MSE).weights(weights.stateArray(0).tensor());
      Tensor out = result.stateArray(0).tensor();
      Nvfp4.fakeQuantize(context, large, null, null, options, out, 0);
      assertTrue(runs[0] > 0);
      assertArrayEquals(Nvfp4.fakeQuantize(large, null, null, options).toFloatArray(), out.toFloatArray());
    }
    weights.close();
    result.close();
  }

  @Test
  void errorFunctions() {
    try (MseCalibrator elements = mse().setIntQuantizer(4, IntRange.FULL);
        MseCalibrator scalar = mse().setIntQuantizer(4, IntRange.FULL);
        MseCalibrator builtIn = mse().setIntQuantizer(4, IntRange.FULL).setAbsoluteError()) {
      elements.setErrorFunction(
          (given, quantized, out) -> {
            float[] a = given.toFloatArray();
            float[] b = quantized.toFloatArray();
            for (int i = 0; i < a.length; i++) {
              a[i] = Math.abs(a[i] - b[i]);
            }
            out.set(a);
          });
      scalar.setScalarErrorFunction(
          (given, quantized) -> {
            double sum = 0;
            double[] b = quantized.toDoubleArray();
            for (int i = 0; i < b.length; i++) {
              sum += Math.abs(values[i] - b[i]);
            }
            return sum;
          });
      for (MseCalibrator one : new MseCalibrator[] {elements, scalar, builtIn}) {
        one.collect(x);
      }
      assertArrayEquals(builtIn.losses().toDoubleArray(), scalar.losses().toDoubleArray(), 1e-9);
      assertArrayEquals(builtIn.losses().toDoubleArray(), elements.losses().toDoubleArray(), 1e-4);
    }
  }

  @Test
  void sweepFunctions() {
    try (SweepCalibrator mine = new SweepCalibrator();
        SweepCalibrator builtIn = new SweepCalibrator()) {
      Tensor global = Tensor.scalar(TestData.amax(values));
      List<Float> firstAmaxes = new ArrayList<>();
      mine.setGlobalAmax(global)
          .setQuantizeFunction(
              (given, amax, out) -> {
                firstAmaxes.add(amax.toFloatArray()[0]);
                out.set(e2m1(given.toFloatArray(), amax.toFloatArray()));
              });
      mine.setErrorFunction(
          (given, quantized, out) -> {
            float[] a = given.toFloatArray();
            float[] b = quantized.toFloatArray();
            for (int i = 0; i < a.length; i++) {
              a[i] = (a[i] - b[i]) * (a[i] - b[i]);
            }
            out.set(a);
          });
      builtIn.setGlobalAmax(global);
      mine.collect(x);
      builtIn.collect(x);
      assertArrayEquals(builtIn.computeCodes().toByteArray(), mine.computeCodes().toByteArray());
      assertEquals(126, firstAmaxes.size());
      assertEquals(TestData.amax(values), firstAmaxes.get(125));
      // None again.
      mine.reset();
      mine.setQuantizeFunction(null).setErrorFunction(null);
      mine.collect(x);
      assertEquals(126, firstAmaxes.size());
    }
  }

  private static float[] e2m1(float[] values, float[] amax) {
    float[] out = new float[values.length];
    for (int i = 0; i < out.length; i++) {
      float scale = amax[i / 16] / 6;
      out[i] = Math.copySign((float) SmallFloats.level(Math.abs(values[i]) / scale) * scale, values[i]);
    }
    return out;
  }

  @Test
  void anExceptionIsTheCause() {
    IOException thrown = new IOException("not today");
    try (MseCalibrator one = mse()) {
      int[] calls = {0};
      one.setQuantizeFunction(
          (given, amax, out) -> {
            if (++calls[0] == 3) {
              throw thrown;
            }
            int8(given, amax, out);
          });
      CallbackException e = assertThrows(CallbackException.class, () -> one.collect(x));
      assertEquals(Status.CALLBACK, e.status());
      assertSame(thrown, e.getCause());
      assertEquals(3, calls[0]);
      assertThrows(NoDataException.class, one::computeAmax);
      // The calibrator is as before and goes on.
      one.collect(x);
      assertTrue(one.computeAmax().toFloatArray()[0] > 0);
    }
    try (MseCalibrator one = mse().setIntQuantizer(8, IntRange.FULL)) {
      one.setScalarErrorFunction((given, quantized) -> deeper(0));
      assertTrue(assertThrows(CallbackException.class, () -> one.collect(x)).getCause() instanceof StackOverflowError);
      one.setScalarErrorFunction((given, quantized) -> Double.NaN);
      assertThrows(NotFiniteException.class, () -> one.collect(x));
    }
    assertThrows(NullPointerException.class, () -> mse().setQuantizeFunction(null));
  }

  private static double deeper(int depth) {
    return 1 + deeper(depth + 1);
  }

  /** A callback may use other handles, but not its own. */
  @Test
  void callsWithinACallback() {
    try (MseCalibrator one = mse();
        MaxCalibrator max = new MaxCalibrator()) {
      one.setQuantizeFunction(
          (given, amax, out) -> {
            max.collect(given);
            Nvfp4.fakeQuantize(null, given, amax, null, null, out, 0);
          });
      one.collect(x);
      assertEquals(TestData.amax(values), max.computeAmax().toFloatArray()[0]);
      for (Runnable own : new Runnable[] {one::reset, one::close, one::lastError, () -> one.collect(x)}) {
        one.reset();
        one.setInitialAmax(Tensor.scalar(1)).setQuantizeFunction((given, amax, out) -> own.run());
        CallbackException e = assertThrows(CallbackException.class, () -> one.collect(x));
        assertEquals("MseCalibrator is in use by another call", e.getCause().getMessage());
      }
      // A failure inside leaves its own message.
      one.setQuantizeFunction((given, amax, out) -> Nvfp4.quantize(null, null));
      Throwable cause = assertThrows(CallbackException.class, () -> one.collect(x)).getCause();
      assertEquals(Status.INVALID_ARGUMENT, ((Nvfp4calException) cause).status());
    }
  }

  /** A function that holds its own calibrator keeps neither alive, and one that nobody else holds stays while it is needed. */
  @Test
  void functionsLiveAsLongAsTheirCalibrator() throws InterruptedException {
    try (MseCalibrator one = mse()) {
      int[] calls = {0};
      one.setQuantizeFunction(
          (given, amax, out) -> {
            calls[0]++;
            int8(given, amax, out);
          });
      for (int i = 0; i < 5; i++) {
        System.gc();
        one.collect(x);
      }
      assertEquals(5 * 39, calls[0]);
    }
    java.lang.ref.WeakReference<MseCalibrator> forgotten = forgetOne();
    for (int i = 0; i < 100 && forgotten.get() != null; i++) {
      System.gc();
      Thread.sleep(10);
    }
    assertNull(forgotten.get());
  }

  private java.lang.ref.WeakReference<MseCalibrator> forgetOne() {
    MseCalibrator one = mse();
    one.setQuantizeFunction((given, amax, out) -> assertFalse(one.toString().isEmpty()));
    return new java.lang.ref.WeakReference<>(one);
  }

  @Test
  void statusesOfCallbacksAreTold() {
    try (MseCalibrator one = mse().setQuantizeFunction((given, amax, out) -> out.set(nan()))) {
      assertStatus(Status.NOT_FINITE, "NaN", () -> one.collect(x));
    }
  }

  private static float[] nan() {
    float[] out = new float[256];
    out[9] = Float.NaN;
    return out;
  }
}
