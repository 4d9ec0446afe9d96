package io.nvfp4cal;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Calls repeated until a leak of what they copy would show in the size of the process (pom.xml fixes that of the heap). */
class MemoryTest {
  /** Elements of the arrays: 4 MiB of floats. */
  private static final int SIZE = 1 << 20;

  private static final long LIMIT_MIB = 150;

  private final float[] values = TestData.normal(SIZE, 10);
  private final Tensor x = Tensor.of(values, 1024, 1024);

  private static long residentMib() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmRSS:")) {
        return Long.parseLong(line.replaceAll("\\D", "")) / 1024;
      }
    }
    throw new IOException("no VmRSS");
  }

  /** {@code rounds} of the body, each of which touches 4 MiB or more, may not make the process grow. */
  private void repeat(int rounds, Runnable body) throws IOException, InterruptedException {
    for (int i = 0; i < 10; i++) {
      body.run();
    }
    System.gc();
    Thread.sleep(50);
    long before = residentMib();
    for (int i = 0; i < rounds; i++) {
      body.run();
    }
    System.gc();
    Thread.sleep(50);
    long grown = residentMib() - before;
    assertTrue(grown < LIMIT_MIB, "grown by " + grown + " MiB in " + rounds + " rounds");
  }

  @Test
  void oneCall() throws Exception {
    repeat(100, () -> Nvfp4.fakeQuantize(x, null, null, null));
  }

  @Test
  void failingCalls() throws Exception {
    float[] bad = values.clone();
    bad[SIZE - 1] = Float.NaN;
    Tensor notFinite = Tensor.of(bad, 1024, 1024);
    Tensor small = Tensor.allocate(DType.F32, 5);
    repeat(
        200,
        () -> {
          assertThrows(Nvfp4calException.class, () -> Nvfp4.scaleSweep(notFinite, null, null));
          assertThrows(Nvfp4calException.class, () -> Nvfp4.scaleSweep(null, x, null, null, small, 0));
          // Refused when the first arguments have been copied.
          assertThrows(IllegalStateException.class, () -> Nvfp4.scaleSweep(null, x, ended(), null, small, 0));
        });
  }

  private static Tensor ended() {
    try (MaxCalibrator max = new MaxCalibrator()) {
      max.collect(Tensor.scalar(1));
      return max.stateArray(0).tensor();
    }
  }

  @Test
  void closedHandles() throws Exception {
    repeat(
        100,
        () -> {
          try (HessianAccumulator sums = new HessianAccumulator().setLayout(HessianLayout.FULL);
              MaxCalibrator max = new MaxCalibrator().setAxes(0, 1)) {
            sums.collect(x.view(0, new long[] {16, 1024}, null));
            sums.importState(sums.exportState());
            max.collect(x);
            max.computeAmax();
          }
        });
  }

  /** Nobody closes them: the Cleaner does. */
  @Test
  void forgottenHandles() throws Exception {
    repeat(
        100,
        () -> {
          MaxCalibrator max = new MaxCalibrator().setAxes(0, 1);
          max.collect(x);
          MseCalibrator mse = new MseCalibrator().setInitialAmax(Tensor.scalar(1));
          mse.setQuantizeFunction((given, amax, out) -> out.set(new float[] {mse.lastError().length()}));
          Context context = new Context().setRunner((task, n) -> max.reset());
          max.setContext(context);
          System.gc();
        });
  }

  @Test
  void callbacks() throws Exception {
    try (MseCalibrator mse = new MseCalibrator().setMultipliers(1, 2, 0.5).setInitialAmax(Tensor.scalar(5))) {
      mse.setQuantizeFunction((given, amax, out) -> out.set(given.toFloatArray()));
      mse.setScalarErrorFunction((given, quantized) -> quantized.toDoubleArray()[0]);
      repeat(40, () -> mse.collect(x));
      mse.reset();
      mse.setInitialAmax(Tensor.scalar(5));
      mse.setQuantizeFunction(
          (given, amax, out) -> {
            throw new IllegalArgumentException("always");
          });
      repeat(100, () -> assertThrows(CallbackException.class, () -> mse.collect(x)));
    }
  }

  @Test
  void contexts() throws Exception {
    repeat(
        100,
        () -> {
          try (Context context = new Context().setThreads(4)) {
            Tensor out = Tensor.unallocated(DType.F32);
            Nvfp4.scaleSweep(context, x, null, null, out, 0);
          }
        });
  }
}
