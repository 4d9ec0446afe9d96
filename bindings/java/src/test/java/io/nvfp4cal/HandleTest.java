package io.nvfp4cal;

import static io.nvfp4cal.TestData.assertMessage;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/** Life of handles, and threads. */
class HandleTest {
  private static final List<Supplier<Calibrator<?>>> CALIBRATORS =
      List.of(
          MaxCalibrator::new,
          SweepCalibrator::new,
          ActMaxCalibrator::new,
          HessianAccumulator::new,
          RangeObserver::new,
          MseCalibrator::new);

  private final Tensor x = TestData.matrix(16, 64, 9);

  @Test
  @SuppressWarnings("try") // closed on purpose
  void useAfterClose() {
    for (Supplier<Calibrator<?>> make : CALIBRATORS) {
      Calibrator<?> one = make.get();
      assertEquals("", one.lastError());
      one.close();
      one.close();
      String message = one.getClass().getSimpleName() + " is closed";
      assertMessage(IllegalStateException.class, message, () -> one.collect(x));
      assertMessage(IllegalStateException.class, message, one::reset);
      assertMessage(IllegalStateException.class, message, one::exportState);
      assertMessage(IllegalStateException.class, message, () -> one.importState(new byte[1]));
      assertMessage(IllegalStateException.class, message, () -> one.setContext(null));
      assertMessage(IllegalStateException.class, message, one::lastError);
    }
    MaxCalibrator closed = new MaxCalibrator();
    closed.close();
    try (MaxCalibrator max = new MaxCalibrator();
        SweepCalibrator sweep = new SweepCalibrator()) {
      assertMessage(IllegalStateException.class, "is closed", () -> max.merge(closed));
      assertMessage(IllegalStateException.class, "is closed", () -> sweep.setGlobalAmaxFrom(closed));
      assertMessage(IllegalStateException.class, "is closed", () -> closed.merge(max));
      // It was let go again.
      max.reset();
    }
    RangeObserver observer = new RangeObserver();
    observer.close();
    try (RangeObserver open = new RangeObserver()) {
      assertMessage(IllegalStateException.class, "is closed", () -> RangeObserver.fuse(open, observer));
      open.reset();
    }
  }

  /** Each thread has its own handle of each kind; what they find is what one thread finds. */
  @Test
  void eightThreadsWithEightHandles() throws Exception {
    List<byte[]> expected = new ArrayList<>();
    for (int seed = 0; seed < 8; seed++) {
      expected.add(states(seed));
    }
    ExecutorService pool = Executors.newFixedThreadPool(8);
    try (Context context = new Context().setThreads(2)) {
      for (int round = 0; round < 5; round++) {
        List<Callable<byte[]>> work = new ArrayList<>();
        for (int seed = 0; seed < 8; seed++) {
          int mine = seed;
          work.add(() -> states(mine));
          work.add(
              () -> {
                Tensor out = Tensor.unallocated(DType.F32);
                Nvfp4.scaleSweep(context, TestData.matrix(64, 64, mine), null, null, out, 0);
                return null;
              });
        }
        List<Future<byte[]>> found = pool.invokeAll(work);
        for (int seed = 0; seed < 8; seed++) {
          assertArrayEquals(expected.get(seed), found.get(2 * seed).get());
        }
      }
    } finally {
      pool.shutdown();
    }
  }

  private static byte[] states(int seed) {
    Tensor x = TestData.matrix(64, 64, seed);
    try (MaxCalibrator max = new MaxCalibrator().setAxes(0);
        HessianAccumulator hessian = new HessianAccumulator();
        MseCalibrator mse = new MseCalibrator().setIntQuantizer(8, IntRange.FULL).setInitialAmax(Tensor.scalar(3))) {
      mse.setErrorFunction((given, quantized, out) -> out.set(quantized.toFloatArray()));
      max.collect(x);
      hessian.collect(x);
      mse.collect(x);
      // An error of one thread is not another one's.
      String message = "x[" + seed + "] is NaN";
      float[] bad = new float[16];
      bad[seed] = Float.NaN;
      TestData.assertStatus(Status.NOT_FINITE, message, () -> Nvfp4.quantize(Tensor.of(bad), null));
      byte[] a = max.exportState();
      byte[] b = hessian.exportState();
      byte[] c = mse.exportState();
      byte[] all = new byte[a.length + b.length + c.length];
      System.arraycopy(a, 0, all, 0, a.length);
      System.arraycopy(b, 0, all, a.length, b.length);
      System.arraycopy(c, 0, all, a.length + b.length, c.length);
      return all;
    }
  }

  /** Misuse by several threads is an exception for some of the calls and nothing worse. */
  @Test
  void oneHandleInManyThreads() throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(8);
    AtomicInteger refused = new AtomicInteger();
    for (int round = 0; round < 20; round++) {
      MseCalibrator one = new MseCalibrator().setIntQuantizer(8, IntRange.FULL).setInitialAmax(Tensor.scalar(3));
      CountDownLatch start = new CountDownLatch(1);
      List<Future<?>> calls = new ArrayList<>();
      for (int t = 0; t < 8; t++) {
        int thread = t;
        calls.add(
            pool.submit(
                () -> {
                  start.await();
                  for (int i = 0; i < 50; i++) {
                    try {
                      if (thread == 7 && i == 40) {
                        one.close();
                      }
                      one.collect(x);
                    } catch (IllegalStateException e) {
                      refused.incrementAndGet();
                    }
                  }
                  return null;
                }));
      }
      start.countDown();
      for (Future<?> call : calls) {
        call.get();
      }
      while (true) {
        try {
          one.close();
          break;
        } catch (IllegalStateException e) {
          Thread.onSpinWait();
        }
      }
    }
    pool.shutdown();
    assertTrue(refused.get() > 0);
  }
}
