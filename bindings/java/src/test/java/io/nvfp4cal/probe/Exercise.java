package io.nvfp4cal.probe;

import io.nvfp4cal.ActMaxCalibrator;
import io.nvfp4cal.CallbackException;
import io.nvfp4cal.Context;
import io.nvfp4cal.DType;
import io.nvfp4cal.HessianAccumulator;
import io.nvfp4cal.IntRange;
import io.nvfp4cal.MaxCalibrator;
import io.nvfp4cal.Method;
import io.nvfp4cal.MseCalibrator;
import io.nvfp4cal.Nvfp4;
import io.nvfp4cal.Nvfp4Blocks;
import io.nvfp4cal.Nvfp4calException;
import io.nvfp4cal.QuantizeOptions;
import io.nvfp4cal.RangeObserver;
import io.nvfp4cal.Tensor;
import java.util.stream.LongStream;

/** Goes through every kind of argument, result, callback and failure once; prints "done". */
public final class Exercise {
  private Exercise() {}

  /** Runs it. */
  public static void main(String[] arguments) {
    Tensor x = Tensor.allocate(DType.F32, 64, 64);
    float[] values = new float[64 * 64];
    for (int i = 0; i < values.length; i++) {
      values[i] = (i * 37 % 101 - 50) / 17f;
    }
    x.set(values);
    Tensor direct = Tensor.allocateDirect(DType.F32, 64, 64);
    direct.set(values);
    try (Context context = new Context()) {
      context.setCpuTarget("scalar").setRunner((task, n) -> LongStream.range(0, n).parallel().forEach(task));
      Tensor out = Tensor.unallocated(DType.F32);
      Nvfp4.scaleSweep(context, direct, null, new QuantizeOptions().weights(x), out, 0);
      context.setRunner(
          (task, n) -> {
            throw new IllegalStateException("no pool");
          });
      fails(() -> Nvfp4.scaleSweep(context, x, null, null, out, 0));
    } catch (Nvfp4calException expected) {
      // Weights are positive.
    }
    Nvfp4.dequantize(Nvfp4.quantize(x, new QuantizeOptions().method(Method.MSE)));
    Nvfp4Blocks.optimal(x.view(0, new long[] {256, 16}, null), -1, null);
    fails(() -> Nvfp4.quantize(null, null));
    handles(x, direct);
    System.out.println("done");
  }

  private static void handles(Tensor x, Tensor direct) {
    try (MseCalibrator mse = new MseCalibrator();
        MaxCalibrator max = new MaxCalibrator().setAxes(0);
        ActMaxCalibrator act = new ActMaxCalibrator();
        HessianAccumulator sums = new HessianAccumulator();
        RangeObserver observer = new RangeObserver()) {
      mse.setInitialAmax(Tensor.scalar(3)).setIntQuantizer(4, IntRange.FULL).collect(x);
      mse.setContext(null).exportState();
      mse.reset();
      mse.setInitialAmax(Tensor.scalar(3)).setQuantizeFunction((given, amax, out) -> out.set(given.toFloatArray()));
      mse.setScalarErrorFunction((given, quantized) -> quantized.toDoubleArray()[3]);
      mse.collect(direct);
      mse.setContext(new Context());
      mse.reset();
      mse.setInitialAmax(Tensor.scalar(3));
      mse.setQuantizeFunction(
          (given, amax, out) -> {
            throw new IllegalArgumentException("no");
          });
      fails(() -> mse.collect(x));
      max.collect(x);
      max.stateArray(0).tensor().buffer().putFloat(0, 1);
      max.importState(max.exportState());
      max.merge(max);
      act.collect(direct);
      act.computeStats();
      sums.collect(x);
      sums.rows();
      sums.computeHessian();
      observer.collect(x);
      observer.computeRange();
      observer.computeScale();
    }
  }

  private static void fails(Runnable call) {
    try {
      call.run();
    } catch (CallbackException e) {
      if (e.getCause() == null) {
        throw new AssertionError("no cause", e);
      }
      return;
    } catch (Nvfp4calException e) {
      return;
    }
    throw new AssertionError("nothing was thrown");
  }
}
