package io.nvfp4cal;

import static io.nvfp4cal.TestData.assertStatus;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.ref.WeakReference;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongConsumer;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class ContextTest {
  private final Tensor x = TestData.matrix(512, 1024, 6);
  private final float[] expected = Nvfp4.scaleSweep(x, null, null).toFloatArray();

  private float[] sweep(Context context) {
    Tensor out = Tensor.unallocated(DType.F32);
    Nvfp4.scaleSweep(context, x, null, null, out, 0);
    return out.result().toFloatArray();
  }

  @Test
  void settings() {
    try (Context context = new Context()) {
      assertEquals(Context.defaultThreads(), context.threads());
      assertEquals(3, context.setThreads(3).threads());
      assertStatus(Status.INVALID_ARGUMENT, "2000", () -> context.setThreads(2000));
      assertStatus(Status.INVALID_ARGUMENT, "mmx", () -> context.setCpuTarget("mmx"));
      assertTrue(context.lastError().contains("mmx"));
      assertTrue(Library.cpuTargets().contains(Library.cpuTarget()));
      for (String target : Library.cpuTargets()) {
        assertArrayEquals(expected, sweep(context.setCpuTarget(target)));
      }
      assertArrayEquals(expected, sweep(context.setCpuTarget(null)));
    }
  }

  @Test
  void parallelStreams() {
    Set<Thread> threads = ConcurrentHashMap.newKeySet();
    AtomicLong tasks = new AtomicLong();
    try (Context context = new Context()) {
      context.setRunner(
          (task, n) ->
              LongStream.range(0, n)
                  .parallel()
                  .forEach(
                      i -> {
                        threads.add(Thread.currentThread());
                        tasks.incrementAndGet();
                        task.accept(i);
                      }));
      assertArrayEquals(expected, sweep(context));
      assertTrue(tasks.get() > 1, tasks + " tasks");
      long before = tasks.get();
      assertArrayEquals(expected, sweep(context.setRunner(null)));
      assertEquals(before, tasks.get());
    }
  }

  @Test
  void threadPool() throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(3);
    try (Context context = new Context()) {
      context.setRunner(
          (task, n) -> {
            AtomicLong next = new AtomicLong();
            Future<?>[] parts = new Future<?>[3];
            for (int p = 0; p < parts.length; p++) {
              parts[p] =
                  pool.submit(
                      () -> {
                        for (long i = next.getAndIncrement(); i < n; i = next.getAndIncrement()) {
                          task.accept(i);
                        }
                      });
            }
            for (Future<?> part : parts) {
              part.get();
            }
          });
      assertArrayEquals(expected, sweep(context));
    } finally {
      pool.shutdown();
    }
  }

  /** Handles keep the pool of a context that is closed and forgotten. */
  @Test
  void settingsForDevices() {
    try (Context context = new Context()) {
      TestData.assertStatus(
          Status.INVALID_ARGUMENT, "release is NULL", () -> context.setDeviceAllocator(4096, 0, 0));
      context.setDeviceAllocator(0, 0, 0).setDeviceStatus(null);
      TestData.assertStatus(
          Status.UNSUPPORTED, "status lies in host memory", () -> context.setDeviceStatus(Tensor.of(new float[4], 4)));
      TestData.assertStatus(Status.WRONG_STATE, "no device status", () -> context.checkDeviceStatus(0));
    }
  }

  @Test
  void handlesKeepWhatTheyNeed() throws InterruptedException {
    AtomicLong tasks = new AtomicLong();
    try (SweepCalibrator sweep = new SweepCalibrator();
        HessianAccumulator hessian = new HessianAccumulator()) {
      WeakReference<Context> context = lend(tasks, sweep, hessian);
      for (int i = 0; i < 100 && context.get() != null; i++) {
        System.gc();
        Thread.sleep(10);
      }
      assertNull(context.get());
      Thread.sleep(50); // for the Cleaner
      sweep.setGlobalAmax(Tensor.scalar(TestData.amax(x.toFloatArray())));
      sweep.collect(x);
      assertArrayEquals(expected, sweep.computeAmax().toFloatArray());
      assertTrue(tasks.get() > 1);
      long before = tasks.get();
      hessian.setContext(null).collect(x);
      assertEquals(before, tasks.get());
    }
  }

  private static WeakReference<Context> lend(AtomicLong tasks, Calibrator<?>... calibrators) {
    try (Context context = new Context()) {
      context.setRunner(
          (task, n) -> {
            tasks.addAndGet(n);
            LongStream.range(0, n).forEach(task);
          });
      for (Calibrator<?> one : calibrators) {
        one.setContext(context);
      }
      return new WeakReference<>(context);
    }
  }

  /** A call's unallocated output is its own: other calls of the runner neither touch it nor are made twice because of it. */
  @Test
  void callsWithinARunner() {
    Tensor small = TestData.matrix(2, 16, 7);
    float[] smallScales = Nvfp4.scaleSweep(small, null, null).toFloatArray();
    int[] runs = {0};
    try (Context context = new Context().setThreads(2);
        HessianAccumulator hessian = new HessianAccumulator()) {
      context.setRunner(
          (task, n) -> {
            runs[0]++;
            hessian.collect(small);
            LongStream.range(0, n).forEach(task);
            assertArrayEquals(smallScales, Nvfp4.scaleSweep(small, null, null).toFloatArray());
          });
      assertArrayEquals(expected, sweep(context));
      int unallocated = runs[0];
      assertTrue(unallocated > 0);
      assertEquals(2L * unallocated, hessian.rows());
      // Asking for the shape runs nothing: as many runs as with an output of one's own.
      Tensor own = Tensor.allocate(DType.F32, expected.length);
      Nvfp4.scaleSweep(context, x, null, null, own, 0);
      assertArrayEquals(expected, own.toFloatArray());
      assertEquals(2 * unallocated, runs[0]);
      assertEquals(2L * runs[0], hessian.rows());
    }
  }

  @Test
  void runnersThatFail() {
    try (Context context = new Context()) {
      RuntimeException thrown = new RuntimeException("no threads");
      context.setRunner(
          (task, n) -> {
            task.accept(0);
            throw thrown;
          });
      assertSame(thrown, assertThrows(CallbackException.class, () -> sweep(context)).getCause());
      context.setRunner((task, n) -> LongStream.range(1, n).forEach(task));
      assertStatus(Status.CALLBACK, "tasks", () -> sweep(context));
      context.setRunner((task, n) -> LongStream.rangeClosed(0, n).forEach(task));
      assertTrue(
          assertThrows(CallbackException.class, () -> sweep(context)).getCause() instanceof IndexOutOfBoundsException);
      context.setRunner(
          (task, n) -> {
            task.accept(0);
            task.accept(0);
          });
      Throwable twice = assertThrows(CallbackException.class, () -> sweep(context)).getCause();
      assertEquals("task 0 has been run already", twice.getMessage());
    }
  }

  @Test
  void noTaskAfterTheRunner() {
    LongConsumer[] kept = new LongConsumer[1];
    try (Context context = new Context()) {
      context.setRunner((task, n) -> kept[0] = task);
      assertStatus(Status.CALLBACK, "0 of", () -> sweep(context));
      TestData.assertMessage(IllegalStateException.class, "the runner has returned", () -> kept[0].accept(0));
    }
  }

  /** Pieces that still run when the runner returns: the call waits for them, or fails where they had not begun. */
  @Test
  void tasksThatOutlastTheRunner() throws InterruptedException {
    for (int round = 0; round < 30; round++) {
      Thread[] other = new Thread[1];
      CountDownLatch begun = new CountDownLatch(1);
      try (Context context = new Context()) {
        context.setRunner(
            (task, n) -> {
              other[0] =
                  new Thread(
                      () -> {
                        begun.countDown();
                        try {
                          task.accept(n - 1);
                        } catch (IllegalStateException tooLate) {
                          assertEquals("the runner has returned", tooLate.getMessage());
                        }
                      });
              other[0].start();
              LongStream.range(0, n - 1).forEach(task);
              begun.await();
            });
        try {
          assertArrayEquals(expected, sweep(context));
        } catch (CallbackException e) {
          assertTrue(e.getMessage().contains("tasks"), e.getMessage());
        }
      }
      other[0].join();
    }
  }

  @Test
  @SuppressWarnings("try") // closed on purpose
  void closedOrBusyContexts() {
    Context context = new Context();
    context.close();
    context.close();
    TestData.assertMessage(IllegalStateException.class, "Context is closed", () -> sweep(context));
    TestData.assertMessage(IllegalStateException.class, "Context is closed", context::threads);
    try (MaxCalibrator max = new MaxCalibrator()) {
      TestData.assertMessage(IllegalStateException.class, "Context is closed", () -> max.setContext(context));
    }
    try (Context busy = new Context()) {
      busy.setRunner((task, n) -> busy.close());
      Throwable cause = assertThrows(CallbackException.class, () -> sweep(busy)).getCause();
      assertEquals("Context is in use by another call", cause.getMessage());
      busy.setRunner((task, n) -> busy.setThreads(1));
      assertThrows(CallbackException.class, () -> sweep(busy));
      // It may serve two calls at once.
      busy.setRunner(
          (task, n) -> {
            Nvfp4.scaleCandidates(busy, 448, Tensor.unallocated(DType.F32));
            LongStream.range(0, n).forEach(task);
          });
      assertArrayEquals(expected, sweep(busy));
    }
  }
}
