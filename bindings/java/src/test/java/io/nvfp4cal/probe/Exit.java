package io.nvfp4cal.probe;

import io.nvfp4cal.Context;
import io.nvfp4cal.DType;
import io.nvfp4cal.HessianAccumulator;
import io.nvfp4cal.HessianLayout;
import io.nvfp4cal.MseCalibrator;
import io.nvfp4cal.Nvfp4;
import io.nvfp4cal.Tensor;
import java.util.concurrent.CountDownLatch;
import java.util.stream.LongStream;

/** Ends the Java machine while handles live and calls run: argument "return", "exit", "halt" or "throw". */
public final class Exit {
  private Exit() {}

  /** Runs it. */
  public static void main(String[] arguments) throws InterruptedException {
    Tensor x = Tensor.allocateDirect(DType.F32, 512, 512);
    float[] values = new float[512 * 512];
    for (int i = 0; i < values.length; i++) {
      values[i] = (i * 37L % 1009 - 500) / 17f;
    }
    x.set(values);
    Context pool = new Context().setThreads(3);
    Context streams = new Context().setRunner((task, n) -> LongStream.range(0, n).parallel().forEach(task));
    HessianAccumulator sums = new HessianAccumulator().setLayout(HessianLayout.FULL).setContext(pool);
    MseCalibrator mse = new MseCalibrator().setInitialAmax(Tensor.scalar(3));
    mse.setQuantizeFunction((given, amax, out) -> out.set(given.toFloatArray()));
    CountDownLatch running = new CountDownLatch(4);
    repeat(running, () -> sums.collect(x));
    repeat(running, () -> mse.collect(x));
    repeat(running, () -> Nvfp4.scaleSweep(streams, x, null, null, Tensor.unallocated(DType.F32), 0));
    repeat(running, () -> Nvfp4.fakeQuantize(Tensor.of(values), null, null, null));
    running.await();
    System.out.println("running");
    System.out.flush();
    switch (arguments[0]) {
      case "exit" -> System.exit(0);
      case "halt" -> Runtime.getRuntime().halt(0);
      case "throw" -> throw new IllegalStateException("the main thread ends");
      default -> {}
    }
  }

  /** On a daemon thread, for ever. */
  private static void repeat(CountDownLatch running, Runnable call) {
    Thread thread =
        new Thread(
            () -> {
              call.run();
              running.countDown();
              while (true) {
                call.run();
              }
            });
    thread.setDaemon(true);
    thread.start();
  }
}
