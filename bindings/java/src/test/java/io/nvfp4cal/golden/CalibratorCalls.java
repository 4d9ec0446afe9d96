package io.nvfp4cal.golden;

import com.google.gson.JsonElement;
import io.nvfp4cal.ActMaxCalibrator;
import io.nvfp4cal.ActMaxStats;
import io.nvfp4cal.Context;
import io.nvfp4cal.FloatFormat;
import io.nvfp4cal.IntRange;
import io.nvfp4cal.MseCalibrator;
import io.nvfp4cal.NoDataException;
import java.util.Map;

/** mse_calibrator and act_max: calibrators that collect x0, x1, ... */
final class CalibratorCalls {
  private static final Map<String, IntRange> RANGES =
      Map.of("", IntRange.SYMMETRIC, "_full_range", IntRange.FULL, "_unsigned", IntRange.UNSIGNED);
  private static final Map<String, FloatFormat> FLOATS =
      Map.of(
          "fp8", FloatFormat.E4M3, "e4m3", FloatFormat.E4M3, "fp8_e5m2", FloatFormat.E5M2, "e5m2", FloatFormat.E5M2,
          "fp4", FloatFormat.E2M1, "e2m1", FloatFormat.E2M1);

  private CalibratorCalls() {}

  static Outputs multipliers(Case one, Context context) {
    try (MseCalibrator mse = new MseCalibrator()) {
      mse.setContext(context);
      mse.setMultipliers(one.number("start", 0.25), one.number("stop", 4), one.number("step", 0.1));
      if (one.hasParam("axis")) {
        mse.setAxes(one.param("axis").isJsonArray() ? one.integers("axis") : new int[] {one.integer("axis")});
      }
      setQuantizer(mse, one);
      setError(mse, one.param("error"));
      mse.setInitialAmax(one.input("initial_amax").tensor());
      one.stream().forEach(x -> mse.collect(x.tensor()));
      return new Outputs()
          .add("candidates", mse.candidates())
          .add("amax", mse.computeAmax())
          .add("multipliers", mse.computeMultipliers())
          .add("losses", mse.losses());
    }
  }

  private static void setQuantizer(MseCalibrator mse, Case one) {
    String name = one.text("quant");
    if (name.matches("uint[2-8]")) {
      mse.setIntQuantizer(name.charAt(4) - '0', IntRange.UNSIGNED);
    } else if (name.matches("int[2-8](_full_range|_unsigned)?")) {
      mse.setIntQuantizer(name.charAt(3) - '0', RANGES.get(name.substring(4)));
    } else if (name.equals("nvfp4")) {
      mse.setNvfp4Quantizer((float) one.number("global_amax"));
    } else if (FLOATS.containsKey(name)) {
      mse.setFloatQuantizer(FLOATS.get(name));
    } else {
      throw new IllegalArgumentException("quant " + name + " is not known");
    }
  }

  private static void setError(MseCalibrator mse, JsonElement error) {
    if (error.isJsonNull() || error.getAsString().equals("sq")) {
      mse.setSquaredError();
    } else if (error.getAsJsonPrimitive().isNumber()) {
      mse.setPowerError(error.getAsDouble());
    } else if (error.getAsString().equals("abs")) {
      mse.setAbsoluteError();
    } else {
      throw new IllegalArgumentException("error " + error);
    }
  }

  static Outputs actMax(Case one, Context context) {
    try (ActMaxCalibrator seed = collected(one, context, false);
        ActMaxCalibrator headroom = collected(one, context, true)) {
      return new Outputs()
          .add("counts", seed.stateArray(0).tensor())
          .add("counts_headroom", headroom.stateArray(0).tensor())
          .add("result", result(seed))
          .add("result_headroom", result(headroom))
          .add("b_min_b_max_literal", stats(seed));
    }
  }

  private static ActMaxCalibrator collected(Case one, Context context, boolean headroom) {
    ActMaxCalibrator actMax = new ActMaxCalibrator();
    actMax.setContext(context).setRho(one.number("rho", 16384)).setMargin(one.number("margin", 1));
    actMax.setPercentiles(one.number("anchor_percentile", 1), one.number("upper_percentile", 99.99));
    actMax.setBins(one.integer("num_bins", 512), one.number("log2_min", -40), one.number("log2_max", 40));
    actMax.setBlockSize(one.integer("block", 16)).setHeadroom(headroom);
    one.stream().forEach(x -> actMax.collect(x.tensor()));
    return actMax;
  }

  private static Values result(ActMaxCalibrator actMax) {
    try {
      return Values.ofFloats(new float[] {actMax.computeAmax()}, 1).reshaped();
    } catch (NoDataException e) {
      return Values.ofFloats(new float[] {Float.NaN}, 1).reshaped();
    }
  }

  private static Values stats(ActMaxCalibrator actMax) {
    try {
      ActMaxStats stats = actMax.computeStats();
      return Values.ofDoubles(new double[] {stats.bMin(), stats.bMax(), stats.literalMax()});
    } catch (NoDataException e) {
      double literal = actMax.stateArray(1).tensor().toDoubleArray()[0];
      return Values.ofDoubles(new double[] {Double.NaN, Double.NaN, literal});
    }
  }
}
